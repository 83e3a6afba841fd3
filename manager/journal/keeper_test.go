package journal

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A place is on disk when keep returns. While the disk blocks, keep returns too, and what was given last is kept as soon as it can be.
func TestKeeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var kept []uint64
		gate := make(chan struct{})
		close(gate)
		ends := make(chan struct{})
		k := newKeeper(func(number uint64) {
			<-gate
			kept = append(kept, number)
		}, ends)
		go k.run()
		check := func(within time.Duration, number uint64, want ...uint64) {
			t.Helper()
			start := time.Now()
			k.keep(number)
			if took := time.Since(start); took > within || !slices.Equal(kept, want) {
				t.Errorf("after %v %v are kept, want %v within %v", took, kept, want, within)
			}
		}
		check(0, 1, 1)
		check(0, 2, 1, 2)
		gate = make(chan struct{})
		check(lateAfter, 3, 1, 2)
		check(0, 4, 1, 2)
		check(0, 5, 1, 2)
		close(gate)
		synctest.Wait()
		check(0, 6, 1, 2, 3, 5, 6)
		check(0, 7, 1, 2, 3, 5, 6, 7)
		close(ends)
		synctest.Wait()
		check(0, 8, 1, 2, 3, 5, 6, 7)
	})
}
