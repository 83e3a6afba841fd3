package proto

import "testing"

// Managers of two versions know each other's messages, so these numbers stay.
func TestManagersRandom(t *testing.T) {
	t.Parallel()
	c := NewCipher(Key([]byte("acf4f37c38fc7b6aa1983fa403a43a83725a2967a61c602")))
	for _, tt := range []struct {
		count Counter
		want  uint16
	}{{Counter{0, 1}, 3210}, {Counter{1763850000, 41}, 11670}, {Counter{4294967295, 9997}, 62388}} {
		if got := c.ManagersRandom(tt.count); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.count, got, tt.want)
		}
	}
	met := 0
	for i := range uint32(1000) {
		if c.ManagersRandom(Counter{i, 1}) == c.ManagersRandom(Counter{i, 2}) {
			met++
		}
	}
	if met > 3 {
		t.Errorf("of 1,000 pairs of counts %d have one number", met)
	}
}

// So do those of startups.
func TestStartupRandom(t *testing.T) {
	t.Parallel()
	c := NewCipher(Key([]byte("acf4f37c38fc7b6aa1983fa403a43a83725a2967a61c602")))
	for _, tt := range []struct {
		count Counter
		want  uint16
	}{{Counter{0, 1}, 22114}, {Counter{1763850000, 41}, 13991}, {Counter{4294967295, 9997}, 19445}} {
		if got := c.StartupRandom(tt.count); got != tt.want || got == c.ManagersRandom(tt.count) {
			t.Errorf("%v: %d, want %d", tt.count, got, tt.want)
		}
	}
}
