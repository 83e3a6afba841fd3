package agent

import "ossecd/agent/shared"

// keeper stores pushed files, one after the other, so that the session need not wait for the disk.
type keeper struct {
	files   *shared.Store
	jobs    chan job
	results chan stored // has room for the result of the one job
	ended   chan struct{}
	busy    bool // for the session's goroutine
}

type job struct {
	name string
	data []byte
}

// stored is what became of a job.
type stored struct {
	name    string
	size    int
	refused []string
	err     error
	sums    shared.Sums
}

func newKeeper(files *shared.Store) *keeper {
	return &keeper{files: files, jobs: make(chan job, 1), results: make(chan stored, 1), ended: make(chan struct{})}
}

// run stores until stop.
func (k *keeper) run() {
	defer close(k.ended)
	for j := range k.jobs {
		r := stored{name: j.name, size: len(j.data)}
		r.refused, r.err = k.files.Put(j.name, j.data)
		r.sums = k.files.Sums()
		k.results <- r
	}
}

// put hands over a file, unless the last one's result was not taken yet.
func (k *keeper) put(name string, data []byte) bool {
	if k.busy {
		return false
	}
	k.busy = true
	k.jobs <- job{name, data}
	return true
}

// stop returns once the file at hand is stored.
func (k *keeper) stop() {
	close(k.jobs)
	<-k.ended
}
