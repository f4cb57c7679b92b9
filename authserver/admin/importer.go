package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/storage"
)

const (
	// MaxFaults is how many faults a report names; all of them are counted.
	MaxFaults   = 1000
	batchSize   = 200
	batchAtOnce = 8 // transactions
)

// ImportOptions say how to read an import.
type ImportOptions struct {
	Format  Format
	Columns Columns
	// Strict ends the import at the first fault. What stands before it has been imported.
	Strict bool
	// From is the first line to look at, counted from 1; those before it are passed over.
	From int
	// DryRun only looks for faults in the file; it neither reads nor writes the store, and counts every
	// good line as created.
	DryRun bool
	// Progress, if not nil, is called after each batch.
	Progress func(Progress)
}

// Progress is how far an import has come.
type Progress struct {
	// Line is the last line that is done with: an import that stops can go on from the next.
	Line int
	// Bytes is how much of the file has been read.
	Bytes int64
	// Created, Existing and Faulty count users made, users that were there already, and lines with
	// faults.
	Created  int
	Existing int
	Faulty   int
}

// Fault is what is wrong with a line. It quotes nothing of the line.
type Fault struct {
	Line int
	Text string
}

// Report is the outcome of an import.
type Report struct {
	Progress

	// Faults are the first [MaxFaults] faults, in the order of lines.
	Faults []Fault
}

// StrictError is the fault that ended a strict import.
type StrictError struct{ Fault Fault }

// Error implements error.
func (e *StrictError) Error() string { return fmt.Sprintf("line %d: %s", e.Fault.Line, e.Fault.Text) }

// Import makes the users that r lists. See the package's doc for the rules. The report is good also
// beside an error: a [*StrictError], an [*InputError] for a file that cannot be read as the format
// says, and whatever the store, r or ctx says.
func (u *Users) Import(ctx context.Context, from audit.Origin, r io.Reader, o ImportOptions) (Report, error) {
	im := &importing{users: u, o: o, lines: newLines(r), subs: make(map[storage.UserID]struct{}), names: make(map[string]struct{})}
	err := im.run(ctx)
	if !o.DryRun && im.report.Line > 0 {
		now := u.c.Now()
		record := from.Record(audit.UsersImported, now)
		if err != nil {
			record.Result = "stopped"
		}
		p := im.report.Progress
		record.Detail = audit.Detail("created", p.Created, "existing", p.Existing, "faulty", p.Faulty, "last_line", p.Line, "format", o.Format)
		u.c.Trail.Append(ctx, record)
	}
	if err != nil {
		return im.report, fmt.Errorf("import users: stopped after line %d: %w", im.report.Line, err)
	}
	return im.report, nil
}

// importing is an import under way.
type importing struct {
	users  *Users
	o      ImportOptions
	lines  *lines
	split  splitter
	report Report
	// batch are rows to be written; faults those of lines that are not before the batch.
	batch  []row
	faults []Fault
	names  map[string]struct{}
	subs   map[storage.UserID]struct{}
}

func (im *importing) run(ctx context.Context) error {
	if err := im.open(); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := im.lines.next()
		if errors.Is(err, io.EOF) {
			return im.flush(ctx)
		}
		if err != nil && !errors.Is(err, errLong) {
			return errors.Join(im.flush(ctx), fmt.Errorf("read: %w", err))
		}
		if im.lines.number < im.o.From || (err == nil && len(bytes.TrimSpace(line)) == 0) {
			continue
		}
		if err := im.take(ctx, line, err); err != nil {
			return err
		}
	}
}

// open prepares the splitter, for which CSV needs the header.
func (im *importing) open() error {
	columns := im.o.Columns.withDefaults()
	switch im.o.Format {
	case JSONLines:
		im.split = newJSON(columns)
		return nil
	case CSV:
		header, err := im.lines.next()
		if errors.Is(err, io.EOF) {
			return &InputError{"the file is empty: CSV begins with a header"}
		}
		if err != nil {
			return fmt.Errorf("read the header: %w", err)
		}
		im.split, err = newCSV(header, columns)
		return err
	}
	return &InputError{"the format is neither csv nor jsonl"}
}

// take puts a line into the batch, or its fault into the report, and writes the batch when it is
// full or the line names somebody who is in it.
func (im *importing) take(ctx context.Context, line []byte, err error) error {
	var r row
	if err == nil {
		var record raw
		if record, err = im.split(line); err == nil {
			r, err = im.users.check(record)
		}
	}
	if err != nil {
		im.faults = append(im.faults, Fault{im.lines.number, err.Error()})
		if im.o.Strict || len(im.faults) >= batchSize {
			return im.flush(ctx)
		}
		return nil
	}
	r.line = im.lines.number
	_, sameName := im.names[r.username]
	_, sameSub := im.subs[r.sub]
	if sameName || (r.sub != "" && sameSub) || len(im.batch) >= batchSize {
		if err := im.flushBefore(ctx, r.line-1); err != nil {
			return err
		}
	}
	im.batch = append(im.batch, r)
	im.names[r.username] = struct{}{}
	im.subs[r.sub] = struct{}{}
	return nil
}

func (im *importing) flush(ctx context.Context) error { return im.flushBefore(ctx, im.lines.number) }

// flushBefore writes the batch, whose last line is not after line, and brings the report up to date.
func (im *importing) flushBefore(ctx context.Context, line int) error {
	outcomes, err := im.write(ctx)
	if err != nil {
		return err // nothing of the batch is reported: running it again will find what was written
	}
	for i, o := range outcomes {
		switch {
		case o.fault != "":
			im.faults = append(im.faults, Fault{im.batch[i].line, o.fault})
		case o.created:
			im.report.Created++
		default:
			im.report.Existing++
		}
	}
	slices.SortFunc(im.faults, func(a, b Fault) int { return a.Line - b.Line })
	faults := im.faults
	im.report.Faulty += len(faults)
	im.report.Faults = append(im.report.Faults, faults[:min(len(faults), MaxFaults-len(im.report.Faults))]...)
	im.report.Line, im.report.Bytes = line, im.lines.bytes
	im.batch, im.faults = im.batch[:0], nil
	clear(im.names)
	clear(im.subs)
	if im.o.Progress != nil {
		im.o.Progress(im.report.Progress)
	}
	if im.o.Strict && len(faults) > 0 {
		return &StrictError{Fault: faults[0]}
	}
	return nil
}

// outcome is what became of a row.
type outcome struct {
	created bool
	fault   string // empty and not created: was there already
}

// write stores the rows of the batch, several at once.
func (im *importing) write(ctx context.Context) ([]outcome, error) {
	outcomes := make([]outcome, len(im.batch))
	if im.o.DryRun {
		for i := range outcomes {
			outcomes[i].created = true
		}
		return outcomes, nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(batchAtOnce)
	for i, r := range im.batch {
		group.Go(func() error {
			var err error
			outcomes[i], err = im.users.store(ctx, r)
			return err
		})
	}
	return outcomes, group.Wait()
}

// store makes one user.
func (u *Users) store(ctx context.Context, r row) (outcome, error) {
	now := storage.Instant(u.c.Now())
	user := storage.User{ID: r.sub, Username: r.username, Password: r.hash, Credential: 1, CreatedAt: now, UpdatedAt: now}
	if user.ID == "" {
		user.ID = storage.NewUserID()
	}
	if r.disabled {
		user.DisabledAt = &now
	}
	err := u.c.Users.CreateUser(ctx, user)
	if err == nil {
		return outcome{created: true}, nil
	}
	if !errors.Is(err, storage.ErrExists) {
		return outcome{}, err
	}
	there, err := u.c.Users.UserByName(ctx, r.username)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return outcome{fault: "the sub belongs to a user of another name"}, nil
	case err != nil:
		return outcome{}, err
	case r.sub != "" && there.ID != r.sub:
		return outcome{fault: "the name belongs to a user with another sub"}, nil
	}
	return outcome{}, nil
}
