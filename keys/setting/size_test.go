package setting

import "testing"

func TestParseSize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want int64
	}{
		{"64", 64 << 20}, {"0", 0}, {"64 MB", 64 << 20}, {"64mb", 64 << 20}, {" 3  KiB ", 3 << 10}, {"1 GB", 1 << 30}, {"2TB", 2 << 40}, {"512 B", 512},
	} {
		if got, err := ParseSize(test.text, 1<<20); got != test.want || err != nil {
			t.Errorf("%q: got %d, %v, want %d", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "-1 MB", "1.5 GB", "1 M B", "1 XB", "99999999999 TB", "99999999999999999999", "1 MB 2"} {
		if got, err := ParseSize(text, 1<<20); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int64]string{0: "0 B", 100: "100 B", 64 << 20: "64 MB", 1 << 30: "1 GB", 1536: "1536 B", 3 << 50: "3072 TB"} {
		if got := FormatSize(bytes); got != want {
			t.Errorf("%d: got %s, want %s", bytes, got, want)
		}
		if got, err := ParseSize(FormatSize(bytes), 1); got != bytes || err != nil {
			t.Errorf("%d: read back as %d, %v", bytes, got, err)
		}
	}
}
