package file

import "testing"

// Which names are those of rotated files of one log.
func TestShape(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		own, a, b string
		want      bool
	}{
		{"/l/app.log", "/l/app.log.1", "/l/app.log.17", true},
		{"/l/app.log", "/l/app.log-20261122", "/l/app.log-20261123", true},
		{"/l/app.log", "/l/app-20261122.log", "/l/app-20261123.log", true},
		{"/l/app.log", "/l/app.1.log", "/l/app.10.log", true},
		{"/l/app.log", "/l/app.log.1", "/l/app.log-1", false},
		{"/l/app2.log", "/l/app2.log.1", "/l/app2.log.2", true},
		{"/l/app2.log", "/l/app2.log.1", "/l/app29.log.1", false},
		{"/l/app2.log", "/l/app2.log.1", "/l/app1.log.1", false},
		{"/l/app2.log", "/l/app2-1.log", "/l/app29-1.log", false},
		{"/l/app.log", "/l/old.app.1", "/l/old.app.2", true},
		{"/l/app.log", "/l/old.app.1", "/l/older.app.1", false},
		{"/l/app.log", "/l/app.log.1", "/l/app.log", false},
	} {
		if got := shapeOf(tt.own, tt.a, false) == shapeOf(tt.own, tt.b, false); got != tt.want {
			t.Errorf("of %s: %s and %s: %v, want %v", tt.own, tt.a, tt.b, got, tt.want)
		}
	}
}
