package strict_test

import (
	"errors"
	"slices"
	"testing"

	"tidemark/profile/strict"
)

// color is a text that knows what it may be.
type color string

func (c *color) UnmarshalText(text []byte) error {
	if string(text) != "red" {
		return errors.New(`got "` + string(text) + `", want red`)
	}
	*c = color(text)
	return nil
}

type document struct {
	Name  string  `yaml:"name"`
	Count uint32  `yaml:"count"`
	Share float64 `yaml:"share"`
	On    bool    `yaml:"on"`
	Paint color   `yaml:"paint"`
	Part  struct {
		List []int `yaml:"list"`
	} `yaml:"part"`
}

func TestDecode_Values(t *testing.T) {
	got := document{Name: "default", Count: 7}
	got.Part.List = []int{9}
	if faults := strict.Decode([]byte("name:\nshare: 0.5\non: true\npaint: red\npart: {list: [1, 2]}\n"), &got); len(faults) > 0 {
		t.Fatalf("faults %v, want none", faults)
	}
	if got.Name != "default" || got.Count != 7 || got.Share != 0.5 || !got.On || got.Paint != "red" || !slices.Equal(got.Part.List, []int{1, 2}) {
		t.Errorf("got %+v", got)
	}
	if faults := strict.Decode([]byte("part: {list: []}"), &got); len(faults) > 0 || got.Part.List != nil {
		t.Errorf("got %+v and %v, want an empty list", got.Part.List, faults)
	}
	for _, empty := range []string{"", "# nothing\n"} {
		if faults := strict.Decode([]byte(empty), &got); len(faults) > 0 {
			t.Errorf("%q: faults %v, want none", empty, faults)
		}
	}
}

// Whatever is wrong is told at once, each with its line and path.
func TestDecode_AllFaultsAtOnce(t *testing.T) {
	cases := []struct {
		text string
		want []string
	}{
		{"nmae: x\ncount: -1\nshare: much\non: maybe\npaint: green\npart:\n  list: [1, two, {}]\n", []string{
			`  line 1: nmae: unknown key, did you mean "name"?`,
			`  line 2: count: got "-1", want a whole number, 0 or more`,
			`  line 3: share: got "much", want a number`,
			`  line 4: on: got "maybe", want true or false`,
			`  line 5: paint: got "green", want red`,
			`  line 7: part.list[1]: got "two", want a whole number`,
			`  line 7: part.list[2]: got a mapping, want a whole number`,
		}},
		{"name: a\nname: b\npart: 3\npaint: [red]\n", []string{
			"  line 2: name: written twice",
			"  line 3: part: got a single value, want a mapping of keys to values",
			"  line 4: paint: got a list, want one value",
		}},
		{"zzzzzzzz: 1", []string{"  line 1: zzzzzzzz: unknown key, want one of name, count, share, on, paint, part"}},
		{"part: {list: 1}", []string{"  line 1: part.list: got a single value, want a list"}},
		{"name: &a x\npaint: *a", []string{"  line 2: paint: aliases are not read here, write the value out"}},
		{"[1]", []string{"  line 1: got a list, want a mapping of keys to values"}},
		{"name: a\n---\nname: b\n", []string{"  line 2: a second document begins (---); want one"}},
		{"name: [", []string{"  not YAML: line 1: did not find expected node content"}},
	}
	for _, c := range cases {
		var got []string
		for _, f := range strict.Decode([]byte(c.text), &document{}) {
			got = append(got, f.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q:\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: x\npart: {list: [1]}\n"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Add([]byte("? {}\n: 1\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, fault := range strict.Decode(text, &document{}) {
			if fault.Text == "" {
				t.Errorf("%q: a fault without a word", text)
			}
		}
	})
}
