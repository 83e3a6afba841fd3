package file

// maxNamed is how many patterns without a file are named.
const maxNamed = 20

// tellStart logs what the first scan found.
func (f *follower) tellStart() {
	following := 0
	for _, tr := range f.tracks {
		if tr.current() != nil {
			following++
		}
	}
	var without []string
	for _, g := range f.globs {
		if !f.hasFile(g) {
			without = append(without, g.text)
		}
	}
	if len(without) == 0 {
		f.Log.Info("following files", "files", following)
		return
	}
	f.Log.Warn("following files, but some paths and patterns have none yet; see that they are written as the files are named, and that the agent may read "+
		"the directories; files that come are followed", "files", following, "without", without[:min(len(without), maxNamed)], "more", max(0, len(without)-maxNamed))
}

// hasFile says that there is something at a path of the glob, whether or not it can be read.
func (f *follower) hasFile(g glob) bool {
	if f.tracks[g.text] != nil {
		return true
	}
	if !hasMeta(g.text) {
		return false
	}
	for path := range f.tracks {
		if g.match(path) {
			return true
		}
	}
	return false
}
