package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/resource/books"
	"github.com/tallystick/tallystick/storage"
)

// ledgerHead is what ledger head prints as JSON.
type ledgerHead struct {
	Head     books.Anchor `json:"head"`
	Journals int64        `json:"journals"`
	SealedAt time.Time    `json:"sealed_at"`
	Waiting  int64        `json:"waiting"`
}

func ledgerHeadCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:   "head",
		Short: "Print the last block of the sealed chain, to keep elsewhere",
		Long: `Prints the last block of the sealed chain and its hash. Kept where nobody who can write
to the database can change it, it proves later that nothing before it was rewritten:
see ledger verify --expect-head.`,
		Example: "  tallystick ledger head --config tallystick.yaml",
		Args:    cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				b, err := k.Store.Head(ctx)
				if errors.Is(err, storage.ErrNotFound) {
					return errors.New("nothing is sealed yet: a running wallet seals what is posted")
				}
				if err != nil {
					return err
				}
				backlog, err := k.Store.Backlog(ctx)
				if err != nil {
					return err
				}
				h := ledgerHead{books.Anchor{Block: b.Number, Hash: b.Hash}, b.Last(), b.SealedAt, backlog.Journals}
				return cli.Print(c, h, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s\n%d journals sealed, the last at %s; %d wait.\n", h.Head, h.Journals, h.SealedAt.Format(time.RFC3339), h.Waiting)
					return err
				})
			})
		},
	}))
}
