// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"bytes"
	"strings"
)

const (
	// The service shortens longer bodies in the middle, so their values may be cut.
	maxShaped = 1024

	// A shape with more values is not worth the comparisons of one with another.
	maxValues = 24

	lookBack = 32
)

// span is a stretch of a body.
type span struct{ start, end int }

// shaper reduces bodies to shapes: two bodies of one shape differ in nothing but values that the masks of the service
// replace whatever they are, so a verdict on the one holds for the other.
//
// Those values are long numbers, long hexadecimal numbers, UUIDs, IPv4 addresses and times. What the masks may keep, such
// as short numbers, codes and zeros, stays in the shape, and so does the length of a value where masks may depend on it.
type shaper struct {
	shape  []byte
	values []span
}

// reduce sets the shape and the values of a body. It reports whether there is a shape; there is none for a body of more than
// maxShaped bytes or maxValues values, or with a byte that marks values.
func (s *shaper) reduce(body string) bool {
	s.shape, s.values = s.shape[:0], s.values[:0]
	if len(body) > maxShaped || strings.IndexByte(body, markBegin) >= 0 {
		return false
	}
	copied := 0
	for at := 0; at < len(body); {
		if !alphanumeric(body[at]) {
			at++
			continue
		}
		end := wordEnd(body, at)
		afterIP := copied > 0 && copied == at-1 && len(s.shape) >= markBytes && s.shape[len(s.shape)-markBytes+1] == markIP
		stop, mark := valueAt(body, at, end, afterIP)
		if mark == 0 {
			at = end
			continue
		}
		if len(s.values) == maxValues {
			return false
		}
		s.shape = append(s.shape, body[copied:at]...)
		s.shape = appendMark(s.shape, mark, lengthAt(body, at, stop, mark), s.first(body, span{at, stop}))
		s.values = append(s.values, span{at, stop})
		at, copied = stop, stop
	}
	s.shape = append(s.shape, body[copied:]...)
	return true
}

// first returns the place of the first value that equals another one. It is part of the shape: what is said of equal values
// cannot be told apart, so it holds only where the same ones are equal.
func (s *shaper) first(body string, value span) int {
	for i, known := range s.values {
		if body[known.start:known.end] == body[value.start:value.end] {
			return i
		}
	}
	return len(s.values)
}

// Marks of values. No body that has a shape has their first byte, so nobody can write a body that looks like one with values.
const (
	markBegin = 0x00
	markBytes = 5

	markNumber = 0x01
	markHex    = 0x02
	markUUID   = 0x03
	markIP     = 0x04
	markTime   = 0x10 // and what else there is of a time:

	withDate  = 0x01
	withT     = 0x02
	withDot   = 0x04
	withComma = 0x08
)

func appendMark(shape []byte, mark byte, length, first int) []byte {
	return append(shape, markBegin, mark, byte(length), byte(length>>8), byte(first)) //nolint:gosec // at most maxShaped and maxValues
}

// lengthAt returns the length of a value if a mask may depend on it, or else 0. Of numbers it does where they may belong to a
// prefix of an address, a UUID or a fraction.
func lengthAt(body string, at, stop int, mark byte) int {
	switch mark {
	case markIP:
		return 0
	case markNumber, markHex:
		ofName := at >= 2 && body[at-1] == '-' && body[at-2] == '_' // blk_-608999687919862906
		alone := at == 0 || ofName || (body[at-1] != '-' && body[at-1] != ':' && body[at-1] != '.')
		if alone && (stop == len(body) || (body[stop] != '-' && body[stop] != '.')) {
			return 0
		}
	}
	return stop - at
}

// valueAt returns the end of the value that begins with the word body[at:end], and its mark, 0 if there is none. afterIP:
// between it and an IPv4 address there is one byte.
func valueAt(body string, at, end int, afterIP bool) (int, byte) {
	afterSlash := at > 0 && (body[at-1] == '/' || body[at-1] == '\\')
	if !afterIP && inColons(body, at) || afterSlash && at > 1 && digit(body[at-2]) {
		return 0, 0 // its beginning may be taken for the rest of an address
	}
	if stop, ok := uuidAt(body, at, end); ok {
		return stop, markUUID
	}
	if stop, ok := ipAt(body, at, end); ok {
		return stop, markIP
	}
	if afterSlash {
		return 0, 0
	}
	if stop, mark := timeAt(body, at, end); mark != 0 {
		return stop, mark
	}
	if isLongNumber(body, at, end) {
		return end, markNumber
	}
	if isLongHex(body, at, end) {
		return end, markHex
	}
	return 0, 0
}

// inColons reports whether a word may belong to an IPv6 address: it stands behind a colon, and before that is a group of one.
func inColons(body string, at int) bool {
	if at == 0 || body[at-1] != ':' {
		return false
	}
	begin := at - 1
	for begin > 0 && alphanumeric(body[begin-1]) {
		begin--
	}
	if begin == at-1 {
		return begin > 0 && body[begin-1] == ':'
	}
	return allHex(body[begin : at-1])
}

// isLongNumber reports whether a word is a number that is masked for its length alone.
func isLongNumber(body string, at, end int) bool {
	length := end - at
	if length < 5 || body[at] == '0' || !allDigits(body[at:end]) {
		return false
	}
	if length >= 8 && (strings.HasPrefix(body[at:], "19") || strings.HasPrefix(body[at:], "20")) {
		return false // may be a date
	}
	if at >= 2 && body[at-1] == '-' && alphanumeric(body[at-2]) {
		return false // may be a code, such as ORA-12541
	}
	// numbers of five digits, and negative ones, also in their unsigned form, may be codes after some words
	mayBeCode := length == 5 || (length == 10 && (body[at] == '3' || body[at] == '4')) || (at > 0 && body[at-1] == '-')
	return !mayBeCode || !afterCodeWord(body, at)
}

// isLongHex reports whether a word is a hexadecimal number that is masked whatever it is.
func isLongHex(body string, at, end int) bool {
	if (at > 0 && body[at-1] == '_') || (end < len(body) && body[end] == '_') {
		return false // no word boundary
	}
	digits := body[at:end]
	if len(digits) > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X') {
		digits = digits[2:]
		return len(digits) > 8 && allHex(digits) && strings.Trim(digits, "0") != ""
	}
	if len(digits) < 8 || !allHex(digits) {
		return false
	}
	letters := 0
	for i := range len(digits) {
		if !digit(digits[i]) {
			letters++
		}
	}
	if letters == 0 || letters == len(digits) {
		return false
	}
	return letters > 1 || digit(digits[len(digits)-1]) // 1048576B is an amount
}

func uuidAt(body string, at, end int) (int, bool) {
	const length = 36
	if end-at != 8 || len(body)-at < length {
		return 0, false
	}
	for i := range length {
		c := body[at+i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return 0, false
			}
		} else if !hexadecimal(c) {
			return 0, false
		}
	}
	stop := at + length
	return stop, stop == len(body) || !wordByte(body[stop])
}

func ipAt(body string, at, end int) (int, bool) {
	if at > 0 && (body[at-1] == '_' || body[at-1] == '.' || body[at-1] == '-') {
		return 0, false
	}
	for group := 0; ; group++ {
		if end-at > 3 || !allDigits(body[at:end]) {
			return 0, false
		}
		if group == 3 {
			return end, end == len(body) || (body[end] != '_' && !layout(body[end:], ".d"))
		}
		if end+1 >= len(body) || body[end] != '.' || !digit(body[end+1]) {
			return 0, false
		}
		at = end + 1
		end = wordEnd(body, at)
	}
}

// timeAt finds a time of day with seconds, and a date in ISO 8601 with one. It returns its end and its mark.
func timeAt(body string, at, end int) (int, byte) {
	if at > 0 && (body[at-1] == ':' || body[at-1] == '.' || body[at-1] == '_' || body[at-1] == '-') {
		return 0, 0
	}
	if stop, mark := clockAt(body, at); mark != 0 {
		return stop, mark
	}
	const date = "dddd-dd-dd"
	if end-at != 4 || !layout(body[at:], date) || len(body) <= at+len(date) {
		return 0, 0
	}
	between := body[at+len(date)]
	if between != 'T' && between != ' ' {
		return 0, 0
	}
	stop, mark := clockAt(body, at+len(date)+1)
	if mark == 0 {
		return 0, 0
	}
	if between == 'T' {
		mark |= withT
	}
	return stop, mark | withDate
}

func clockAt(body string, at int) (int, byte) {
	if !layout(body[at:], "dd:dd:dd") {
		return 0, 0
	}
	stop, mark := at+len("dd:dd:dd"), byte(markTime)
	if stop+1 < len(body) && (body[stop] == '.' || body[stop] == ',') && digit(body[stop+1]) {
		mark |= withDot
		if body[stop] == ',' {
			mark ^= withDot | withComma
		}
		stop++
		for stop < len(body) && digit(body[stop]) {
			stop++
		}
	}
	if stop == len(body) {
		return stop, mark
	}
	next := body[stop]
	if next == ':' || next == '.' || next == ',' || next == '_' || (alphanumeric(next) && next != 'Z') {
		return 0, 0
	}
	return stop, mark
}

// layout reports whether text begins as the layout says, in which d is a digit.
func layout(text, wanted string) bool {
	if len(text) < len(wanted) {
		return false
	}
	for i := range len(wanted) {
		if wanted[i] == 'd' {
			if !digit(text[i]) {
				return false
			}
		} else if text[i] != wanted[i] {
			return false
		}
	}
	return true
}

// codeWords are the ends of the words that a code may follow, in lower case.
var codeWords = [][]byte{
	[]byte("tatus"), []byte("code"), []byte("rror"), []byte("rrno"), []byte("xit"), []byte("eventid"), []byte("hresult"),
	[]byte("bugcheck"), []byte("esult"), []byte("eturned"), []byte("sqlstate"),
}

// afterCodeWord reports whether one of the codeWords stands shortly before a place.
func afterCodeWord(body string, at int) bool {
	before := body[max(0, at-lookBack):at]
	var low [lookBack]byte
	for i := range len(before) {
		low[i] = before[i] | 0x20
	}
	for _, word := range codeWords {
		if bytes.Contains(low[:len(before)], word) {
			return true
		}
	}
	return false
}

func wordEnd(body string, at int) int {
	for at < len(body) && alphanumeric(body[at]) {
		at++
	}
	return at
}

func digit(c byte) bool { return c-'0' < 10 }

func hexadecimal(c byte) bool { return digit(c) || (c|0x20)-'a' < 6 }

func alphanumeric(c byte) bool { return digit(c) || (c|0x20)-'a' < 26 }

func wordByte(c byte) bool { return alphanumeric(c) || c == '_' }

func allDigits(text string) bool {
	for i := range len(text) {
		if !digit(text[i]) {
			return false
		}
	}
	return true
}

func allHex(text string) bool {
	for i := range len(text) {
		if !hexadecimal(text[i]) {
			return false
		}
	}
	return true
}
