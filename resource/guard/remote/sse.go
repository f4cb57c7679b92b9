package remote

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// maxLine bounds a line of the stream, maxData the data of a message.
	maxLine = 16 << 10
	maxData = 64 << 10
)

// message is one message of a stream of server-sent events.
type message struct {
	id   string
	kind string
	data []byte
}

// messages reads a stream of server-sent events. Lines end in LF or CRLF; the lone CR that the standard
// allows as well is not worth a second look at each byte, since our servers do not send it.
type messages struct {
	in *bufio.Reader
	// alive is called for each line, comments included.
	alive func()
	begun bool
}

func newMessages(r io.Reader, alive func()) *messages {
	return &messages{in: bufio.NewReaderSize(r, maxLine), alive: alive}
}

// next returns the next message that has data.
func (m *messages) next() (message, error) {
	var msg message
	hasData := false
	for {
		line, err := m.line()
		if err != nil {
			return message{}, err
		}
		if len(line) == 0 {
			if hasData {
				return msg, nil
			}
			msg.kind = "" // a message without data is none, but its id counts
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				msg.id = string(value)
			}
		case "event":
			msg.kind = string(value)
		case "data":
			if hasData {
				msg.data = append(msg.data, '\n')
			}
			if msg.data = append(msg.data, value...); len(msg.data) > maxData {
				return message{}, fmt.Errorf("message is over %d bytes", maxData)
			}
			hasData = true
		}
	}
}

// line returns the next line without its end. It is good until the next call.
func (m *messages) line() ([]byte, error) {
	line, err := m.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("line is over %d bytes", maxLine)
	case err != nil:
		return nil, err
	}
	m.alive()
	line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	if !m.begun {
		m.begun = true
		line = bytes.TrimPrefix(line, []byte("\uFEFF"))
	}
	return line, nil
}
