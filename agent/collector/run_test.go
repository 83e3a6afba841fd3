package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"ossecd/agent/source"
)

// ending is a source that ends with an error, or with its context where that is nil.
type ending struct{ err error }

func (e ending) Run(ctx context.Context, _ source.Output) error {
	if e.err == nil {
		<-ctx.Done()
	}
	return e.err
}

type nowhere struct{}

func (nowhere) Emit(_ context.Context, batch []source.Event) (int, error) { return len(batch), nil }
func (nowhere) Idle()                                                     {}

// A source that fails leaves the others alone, unless the whole agent has to end with it.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for _, tt := range []struct {
		name     string
		err      error
		untilOne bool
		ends     bool
	}{
		{"a source's own error", failed, false, false},
		{"one is enough", failed, true, true},
		{"fatal", fmt.Errorf("path: %w", source.Fatal{Err: failed}), false, true},
		{"fatal among others", errors.Join(errors.New("x"), source.Fatal{Err: failed}), false, true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Run(ctx, []source.Source{ending{}, ending{tt.err}}, []source.Output{nowhere{}, nowhere{}}, tt.untilOne, slog.New(slog.DiscardHandler))
		}()
		if !tt.ends {
			cancel()
		}
		if err := <-done; errors.Is(err, failed) != tt.ends {
			t.Errorf("%s: ended with %v", tt.name, err)
		}
		cancel()
	}
}
