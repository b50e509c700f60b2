package lanes

import "golang.org/x/sys/cpu"

//go:noescape
func sum512(out *[16]Hash, data *byte, offsets *[16]uint64, blocks uint64)

//go:noescape
func sum256(out *[8]Hash, data *byte, offsets *[8]uint64, blocks uint64)

// nodes512 reads all children before it writes.
//
//go:noescape
func nodes512(out *[16]Hash, children *[32]Hash)

//go:noescape
func nodes256(out *[8]Hash, children *[16]Hash)

// highest is the highest level of this machine. The package cpu reports what the
// operating system saves the registers of.
func highest() Level {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW:
		return AVX512
	case cpu.X86.HasAVX2:
		return AVX2
	}
	return Generic
}

// sumLanes hashes n messages of equal length in blocks; there are more offsets.
func (l Level) sumLanes(out *[width]Hash, data []byte, offsets *[width]uint64, n, blocks int) {
	if l == AVX512 {
		sum512(out, &data[0], offsets, uint64(blocks))
		return
	}
	for i := 0; i < n; i += 8 {
		sum256((*[8]Hash)(out[i:]), &data[0], (*[8]uint64)(offsets[i:]), uint64(blocks))
	}
}

// nodeLanes hashes as many nodes as fill the lanes and returns their number.
func (l Level) nodeLanes(dst, children []Hash) (done int) {
	switch l {
	case AVX512:
		for ; done+16 <= len(dst); done += 16 {
			nodes512((*[16]Hash)(dst[done:]), (*[32]Hash)(children[2*done:]))
		}
	case AVX2:
		for ; done+8 <= len(dst); done += 8 {
			nodes256((*[8]Hash)(dst[done:]), (*[16]Hash)(children[2*done:]))
		}
	}
	return done
}
