package guard

import "sync"

// words keeps texts that repeat once, and names them by small numbers. 0 is the empty text. The
// number behind the last stands for every text for which there was no room.
type words struct {
	limit  int
	mu     sync.RWMutex
	number map[string]uint16
	slots  []word // slot i has the number i+1
	free   []uint16
}

type word struct {
	text string
	refs int
}

func newWords(limit int) *words { return &words{limit: limit, number: make(map[string]uint16)} }

// lost is the number of a text for which there was no room.
func (w *words) lost() uint16 { return uint16(w.limit + 1) }

// take returns the number of a text, which stays until it is released as often as it was taken.
func (w *words) take(text string) uint16 {
	if text == "" {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := w.number[text]; ok {
		w.slots[n-1].refs++
		return n
	}
	var n uint16
	switch {
	case len(w.free) > 0:
		n = w.free[len(w.free)-1]
		w.free = w.free[:len(w.free)-1]
		w.slots[n-1] = word{text, 1}
	case len(w.slots) < w.limit:
		w.slots = append(w.slots, word{text, 1})
		n = uint16(len(w.slots))
	default:
		return w.lost()
	}
	w.number[text] = n
	return n
}

// release lets go of a text once.
func (w *words) release(n uint16) {
	if n == 0 || n == w.lost() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	slot := &w.slots[n-1]
	if slot.refs--; slot.refs > 0 {
		return
	}
	delete(w.number, slot.text)
	slot.text = ""
	w.free = append(w.free, n)
}

// text returns the text of a number, and false if it was lost.
func (w *words) text(n uint16) (string, bool) {
	if n == 0 {
		return "", true
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if int(n) > len(w.slots) {
		return "", false
	}
	return w.slots[n-1].text, true
}
