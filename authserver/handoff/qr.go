package handoff

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quiet is the width of the empty border, in modules (ISO/IEC 18004 §9.1 asks for 4).
const quiet = 4

// maxQR is the longest text that goes into a QR code here, in bytes: more would not be read from a screen.
const maxQR = 512

// QR draws a text as an SVG: black on white, one path, no script, no style, no reference to anything.
// Level M lets a seventh of it be dirty.
func QR(text string) (string, error) {
	if len(text) > maxQR {
		return "", fmt.Errorf("draw QR: %d bytes are more than %d", len(text), maxQR)
	}
	matrix, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("draw QR: %w", err)
	}
	size := matrix.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := 0; x < size; {
			run := 0
			for x+run < size {
				if lum, _, _, _ := matrix.At(x+run, y).RGBA(); lum != 0 {
					break
				}
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
			}
			x += max(run, 1)
		}
	}
	side := strconv.Itoa(size + 2*quiet)
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + side + ` ` + side + `" shape-rendering="crispEdges" role="img">` +
		`<rect width="` + side + `" height="` + side + `" fill="#fff"/><path fill="#000" d="` + path.String() + `"/></svg>`, nil
}
