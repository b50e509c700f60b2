package lanes

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// levels are those this machine has.
func levels(t testing.TB) (all []Level) {
	for l := range Supported() + 1 {
		all = append(all, l)
	}
	if Supported() < AVX512 {
		t.Logf("this machine has no level above %s: the others are not tested", Supported())
	}
	return all
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func randomHashes(r *rand.Rand, n int) []Hash {
	all := make([]Hash, n)
	for i := range all {
		all[i] = Hash(random(r, sha256.Size))
	}
	return all
}

// pad lays messages out as Sum wants them.
func pad(messages [][]byte) (data []byte, ends []int) {
	for _, m := range messages {
		begin := len(data)
		data = Pad(append(data, m...), begin)
		ends = append(ends, len(data))
	}
	return data, ends
}

func checkSum(t *testing.T, l Level, messages [][]byte) {
	t.Helper()
	data, ends := pad(messages)
	before := bytes.Clone(data)
	got := make([]Hash, len(messages))
	l.Sum(got, data, ends)
	for i, m := range messages {
		if want := sha256.Sum256(m); got[i] != want {
			t.Fatalf("%s: message %d of %d, %d octets: %x, want %x", l, i, len(messages), len(m), got[i], want)
		}
	}
	if !bytes.Equal(data, before) {
		t.Fatalf("%s: the messages were changed", l)
	}
}

func parent(left, right Hash) Hash {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func checkNodes(t *testing.T, l Level, children []Hash) {
	t.Helper()
	n := len(children) / 2
	apart := append(make([]Hash, n), Hash{0xee}) // the last is not Nodes' to touch
	l.Nodes(apart[:n], children)
	above := append([]Hash(nil), children...)
	l.Nodes(above[:n], above)
	for i := range n {
		want := parent(children[2*i], children[2*i+1])
		if apart[i] != want || above[i] != want {
			t.Fatalf("%s: node %d of %d: %x, in place %x, want %x", l, i, n, apart[i], above[i], want)
		}
	}
	if apart[n] != (Hash{0xee}) {
		t.Fatalf("%s: wrote beyond %d nodes", l, n)
	}
}

// FIPS 180-4 examples (NIST, SHA256.pdf).
func TestSum_FIPSExamples(t *testing.T) {
	want := map[string][4]byte{
		"abc": {0xba, 0x78, 0x16, 0xbf},
		"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": {0x24, 0x8d, 0x6a, 0x61},
		"": {0xe3, 0xb0, 0xc4, 0x42},
	}
	for _, l := range levels(t) {
		for text, begins := range want {
			messages := make([][]byte, width)
			for i := range messages {
				messages[i] = []byte(text)
			}
			data, ends := pad(messages)
			got := make([]Hash, width)
			l.Sum(got, data, ends)
			for i := range got {
				if [4]byte(got[i][:4]) != begins {
					t.Errorf("%s: %q in lane %d: %x, want %x...", l, text, i, got[i], begins)
				}
			}
		}
	}
}

func TestSum_EqualsCryptoSHA256AtEveryLength(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, l := range levels(t) {
		for size := range maxBlocks*blockSize + 70 {
			messages := make([][]byte, width)
			for i := range messages {
				messages[i] = random(r, size)
			}
			checkSum(t, l, messages)
		}
	}
}

func TestSum_EqualsCryptoSHA256AtEveryNumberOfMessages(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, l := range levels(t) {
		for n := range 5 * width {
			equal, mixed := make([][]byte, n), make([][]byte, n)
			for i := range n {
				equal[i], mixed[i] = random(r, 172), random(r, r.IntN(700))
			}
			checkSum(t, l, equal)
			checkSum(t, l, mixed)
		}
	}
}

// Of the lanes only one is not zero, so that a digest or word in the wrong lane shows.
func TestSum_LanesDoNotMix(t *testing.T) {
	for _, l := range levels(t) {
		for lane := range width {
			for at := range 2 * blockSize {
				messages := make([][]byte, width)
				for i := range messages {
					messages[i] = make([]byte, 2*blockSize)
				}
				messages[lane][at] = 1
				checkSum(t, l, messages)
			}
		}
	}
}

func TestNodes_EqualCryptoSHA256AtEveryNumber(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, l := range levels(t) {
		for n := range 5 * width {
			checkNodes(t, l, randomHashes(r, 2*n))
		}
	}
}

func TestNodes_EveryOctetMatters(t *testing.T) {
	for _, l := range levels(t) {
		for lane := range width {
			for at := range 2 * sha256.Size {
				children := make([]Hash, 2*width)
				children[2*lane+at/sha256.Size][at%sha256.Size] = 0x80
				checkNodes(t, l, children)
			}
		}
	}
}

func TestLevels_DoNotAllocate(t *testing.T) {
	data, ends := pad([][]byte{make([]byte, 172), make([]byte, 172), make([]byte, 172), make([]byte, 172), make([]byte, 9)})
	dst, children := make([]Hash, 64), make([]Hash, 64)
	for _, l := range levels(t) {
		if n := testing.AllocsPerRun(10, func() {
			l.Sum(dst[:len(ends)], data, ends)
			l.Nodes(dst[:31], children[:62])
			data = Pad(data[:200], 192)[:len(data)]
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", l, n)
		}
	}
}

func TestLevel_HigherThanTheMachineIsTheHighest(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	checkSum(t, AVX512, [][]byte{random(r, 1), random(r, 2), random(r, 3), random(r, 4)})
	checkNodes(t, AVX512, randomHashes(r, 64))
}

func TestChoose_TheEnvironmentOnlyLowers(t *testing.T) {
	for forced, want := range map[string]Level{"": Supported(), "generic": Generic, "avx2": min(AVX2, Supported()), "avx512": Supported(), "?": Supported()} {
		if got := choose(forced); got != want {
			t.Errorf("TIDEMARK_LANES=%s on a machine with %s: %s, want %s", forced, Supported(), got, want)
		}
	}
}

func TestAssembly_IsWhatTheGeneratorWrites(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command: ", err)
	}
	made := filepath.Join(t.TempDir(), "lanes_amd64.s")
	if out, err := exec.Command("go", "run", "gen.go", made).CombinedOutput(); err != nil {
		t.Fatalf("go run gen.go: %v\n%s", err, out)
	}
	want, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("lanes_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("lanes_amd64.s is not what gen.go writes: run go generate")
	}
}

// sizes cuts data into messages of 3*sizes[i] octets, beginning anew at its end.
func FuzzLevels_EqualCryptoSHA256(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte("abc"), []byte{0, 1, 18, 19, 21, 22, 170, 171, 255})
	f.Add([]byte{0xff, 0x80}, bytes.Repeat([]byte{57}, 33)) // rows: 171 octets
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		sizes = sizes[:min(len(sizes), 100)]
		messages := make([][]byte, len(sizes))
		children := make([]Hash, len(sizes)&^1)
		at := 0
		for i, size := range sizes {
			for range 3 * int(size) {
				if at == len(data) {
					data, at = append(data, byte(len(data))), 0 // so that no two messages need be equal
				}
				messages[i] = append(messages[i], data[at])
				at++
			}
			if i < len(children) {
				children[i] = sha256.Sum256(messages[i])
			}
		}
		for l := range Supported() + 1 {
			checkSum(t, l, messages)
			checkNodes(t, l, children)
		}
	})
}

// BenchmarkSum is a block of rows without extensions, 172 octets each.
func BenchmarkSum(b *testing.B) {
	messages := make([][]byte, 256)
	for i := range messages {
		messages[i] = make([]byte, 172)
	}
	data, ends := pad(messages)
	dst := make([]Hash, len(messages))
	for _, l := range levels(b) {
		b.Run(l.String(), func(b *testing.B) {
			for b.Loop() {
				l.Sum(dst, data, ends)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(data)/blockSize), "ns/block")
		})
	}
}

func BenchmarkNodes(b *testing.B) {
	children := make([]Hash, 512)
	dst := make([]Hash, len(children)/2)
	for _, l := range levels(b) {
		b.Run(l.String(), func(b *testing.B) {
			for b.Loop() {
				l.Nodes(dst, children)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(dst)), "ns/node")
		})
	}
}
