package embedded

import (
	"os"
	"path/filepath"
	"testing"
)

func TestForgetOrphans_TakesBackOnlyWhatHasNoPart(t *testing.T) {
	const one, two = "1\t20261122_1_1_0\ta\n", "1\t20261122_2_2_0\tb\n"
	for name, c := range map[string]struct {
		logs  map[string]string
		parts []string
		want  string // of the newest log that is not empty
	}{
		"both parts are there":           {map[string]string{"1": one + two}, []string{"20261122_1_1_0", "20261122_2_2_0"}, one + two},
		"the last part is not there":     {map[string]string{"1": one + two}, []string{"20261122_1_1_0"}, one},
		"it is the only one":             {map[string]string{"1": two}, nil, ""},
		"it has only its temporary name": {map[string]string{"1": one + two}, []string{"20261122_1_1_0", "tmp_insert_20261122_2_2_0"}, one},
		"it was merged":                  {map[string]string{"1": one + two}, []string{"20261122_1_2_1"}, one + two},
		"it was altered":                 {map[string]string{"1": one + two}, []string{"20261122_1_2_1_7"}, one + two},
		"another day has its numbers":    {map[string]string{"1": one + two}, []string{"20261121_1_5_1"}, one},
		"it was dropped":                 {map[string]string{"1": one + "2\t20261122_1_1_0\ta\n"}, nil, one + "2\t20261122_1_1_0\ta\n"},
		"an older one is not there":      {map[string]string{"1": one + two}, []string{"20261122_2_2_0"}, one + two},
		"the line was cut short":         {map[string]string{"1": one + two[:9]}, []string{"20261122_1_1_0"}, one},
		"in an older log by name":        {map[string]string{"9": one, "10": two}, []string{"20261122_1_1_0"}, ""},
		"a new log was begun":            {map[string]string{"1": one + two, "2": ""}, []string{"20261122_1_1_0"}, one},
		"of another form":                {map[string]string{"1": "1\tx\n"}, nil, "1\tx\n"},
		"no insert yet":                  {map[string]string{"1": ""}, nil, ""},
	} {
		path := t.TempDir()
		table := filepath.Join(path, "store", "764", "76408eed")
		logs := filepath.Join(table, "deduplication_logs")
		err := os.MkdirAll(logs, 0o700)
		for _, p := range c.parts {
			if err == nil {
				err = os.Mkdir(filepath.Join(table, p), 0o700)
			}
		}
		newest := "1"
		for n, text := range c.logs {
			if err == nil {
				err = os.WriteFile(filepath.Join(logs, "deduplication_log_"+n+".txt"), []byte(text), 0o600)
			}
			if text != "" && len(n) >= len(newest) {
				newest = n
			}
		}
		if err == nil {
			err = forgetOrphans(path)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(filepath.Join(logs, "deduplication_log_"+newest+".txt")); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
}
