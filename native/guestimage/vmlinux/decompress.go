// Package vmlinux gets the kernel that a machine boots out of the file that a distribution ships.
package vmlinux

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
)

// maxKernel bounds what a small file may unpack to.
const maxKernel = 512 << 20

// compression is one way in which Linux's build packs a kernel or a module, known by its first bytes.
type compression struct {
	name  string
	magic []byte
	open  func(io.Reader) (io.Reader, error)
	// sized: Linux's build adds the unpacked size, four bytes, after the packed kernel (scripts/Makefile.lib, size_append).
	sized bool
}

var compressions = []compression{
	{"gzip", []byte{0x1f, 0x8b}, func(in io.Reader) (io.Reader, error) {
		out, err := gzip.NewReader(in)
		if err == nil {
			out.Multistream(false)
		}
		return out, err
	}, false},
	// Linux's xz uses the x86 branch filter, which few readers in Go know.
	{"xz", []byte{0xfd, '7', 'z', 'X', 'Z', 0}, func(in io.Reader) (io.Reader, error) {
		out, err := xz.NewReader(in, xz.DefaultDictMax)
		if err == nil {
			out.Multistream(false)
		}
		return out, err
	}, true},
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, func(in io.Reader) (io.Reader, error) {
		return zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxKernel))
	}, true},
	// The legacy frame: the kernel's own unpacker knows no other.
	{"lz4", []byte{0x02, 0x21, 0x4c, 0x18}, func(in io.Reader) (io.Reader, error) {
		return lz4.NewReader(in), nil
	}, true},
}

// Decompress unpacks data by what its first bytes say; data of no known compression is returned as it is.
func Decompress(data []byte) ([]byte, error) { return decompress(data, false) }

func decompress(data []byte, kernel bool) ([]byte, error) {
	for _, one := range compressions {
		if !bytes.HasPrefix(data, one.magic) {
			continue
		}
		if kernel && one.sized {
			data = data[:max(len(data)-4, len(one.magic))]
		}
		in, err := one.open(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		out, err := io.ReadAll(io.LimitReader(in, maxKernel+1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		if len(out) > maxKernel {
			return nil, fmt.Errorf("%s: it unpacks to more than %d bytes", one.name, maxKernel)
		}
		return out, nil
	}
	return data, nil
}
