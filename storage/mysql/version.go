package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrServerTooOld says that the server lacks what the schema needs.
var ErrServerTooOld = errors.New("the database server is too old")

// version is what a server says that it is.
type version struct {
	product      string // "MySQL", "MariaDB" or "TiDB"
	major, minor int
}

func readVersion(ctx context.Context, db *sql.DB) (version, error) {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&text); err != nil {
		return version{}, fmt.Errorf("read server version: %w", err)
	}
	return parseVersion(text), nil
}

// parseVersion reads "8.0.36", "10.11.6-MariaDB-1", "5.5.5-10.6.12-MariaDB" (what replication sees)
// and "8.0.11-TiDB-v7.5.1". What it cannot read is version 0.0 of MySQL, which is too old.
func parseVersion(text string) version {
	v := version{product: "MySQL"}
	number := text
	switch _, tidb, found := strings.Cut(text, "-TiDB-v"); {
	case found:
		v.product, number = "TiDB", tidb
	case strings.Contains(text, "MariaDB"):
		v.product, number = "MariaDB", strings.TrimPrefix(text, "5.5.5-")
	}
	parts := strings.SplitN(number, ".", 3)
	if len(parts) < 2 {
		return v
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return v
	}
	minor, err := strconv.Atoi(strings.SplitN(parts[1], "-", 2)[0])
	if err != nil {
		return v
	}
	v.major, v.minor = major, minor
	return v
}

// supported gives ErrServerTooOld in a line that names what is needed.
func (v version) supported() error {
	oldest := map[string]version{
		"MySQL":   {major: 8, minor: 0},
		"MariaDB": {major: 10, minor: 6},
		"TiDB":    {major: 6, minor: 5},
	}[v.product]
	if v.major > oldest.major || (v.major == oldest.major && v.minor >= oldest.minor) {
		return nil
	}
	return fmt.Errorf("%w: it is %s %d.%d; use MySQL 8.0, MariaDB 10.6 or TiDB 6.5, or later", ErrServerTooOld, v.product, v.major, v.minor)
}
