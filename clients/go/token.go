package sessiongate

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
)

// TokenFormat is the form of a token.
//
//	v1.3aKq9xZtB07LmPdW.29e3793852110380a17bd3162afc7653cf4e61a3a0932298827abc2c4e6f0d03
//	-- ---------------- ----------------------------------------------------------------
//	|  |                signature: HMAC-SHA256(sign key, id), in lower-case hex
//	|  id: 16 characters of a-zA-Z0-9 (95 bits)
//	version
//
//	v2.3aKq9xZtB07LmPdWm4Rs8Q.a89582b83061166735ec423cb838ffa5x7K
//	-- ---------------------- -----------------------------------
//	|  |                      |                               pad: 3 characters, not signed
//	|  |                      the first 16 bytes of HMAC-SHA256(sign key, "v2." + id), in hex
//	|  id: 22 characters (131 bits)
//	version
type TokenFormat string

// The forms of tokens.
const (
	V1 TokenFormat = "v1"
	V2 TokenFormat = "v2"
)

const (
	alphabet   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	versionLen = len("v1.")
	v1IDLen    = 16
	v2IDLen    = 22
	v1SigLen   = 64 // in hex: all 32 bytes of the HMAC
	v2SigLen   = 32 // the first 16
	v2PadLen   = 3
	v1Len      = versionLen + v1IDLen + 1 + v1SigLen
	v2Len      = versionLen + v2IDLen + 1 + v2SigLen + v2PadLen
)

// parts of a token: what is signed and the signature that it carries.
type parts struct {
	format    TokenFormat
	signed    string
	signature string
}

// parse takes a token apart; ok says whether it has a token's form, whoever signed it.
func parse(token string) (p parts, ok bool) {
	var id, pad string
	switch {
	case len(token) == v1Len && token[:versionLen] == "v1.":
		id = token[versionLen : versionLen+v1IDLen]
		p = parts{V1, id, token[v1Len-v1SigLen:]}
	case len(token) == v2Len && token[:versionLen] == "v2.":
		id = token[versionLen : versionLen+v2IDLen]
		pad = token[v2Len-v2PadLen:]
		p = parts{V2, token[:versionLen+v2IDLen], token[versionLen+v2IDLen+1 : v2Len-v2PadLen]}
	default:
		return parts{}, false
	}
	if !alphanumeric(id) || token[versionLen+len(id)] != '.' || !lowerHex(p.signature) || !alphanumeric(pad) {
		return parts{}, false
	}
	return p, true
}

func alphanumeric(text string) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return true
}

func lowerHex(text string) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// signKey is a sign key that no text shows: it is handed to the driver as it is, and writes itself
// where only the connection reads it (MarshalBinary). It is always passed as a pointer, so that
// what formats a struct by reflection meets an address.
type signKey struct {
	bytes []byte
	macs  sync.Pool // of hash.Hash, keyed
}

func newSignKey(key []byte) *signKey {
	k := &signKey{bytes: append([]byte(nil), key...)}
	k.macs.New = func() any { return hmac.New(sha256.New, k.bytes) }
	return k
}

// MarshalBinary is how the driver gets the bytes to send.
func (k *signKey) MarshalBinary() ([]byte, error) { return k.bytes, nil }

// Format shows nothing of the key, whatever the verb.
func (k *signKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "<sign key>") }

// mac is HMAC-SHA256(key, text).
func (k *signKey) mac(text string) (sum [sha256.Size]byte) {
	mac := k.macs.Get().(hash.Hash)
	mac.Reset()
	_, _ = io.WriteString(mac, text)
	mac.Sum(sum[:0])
	k.macs.Put(mac)
	return sum
}

// signature is the MAC of text, in hex.
func (k *signKey) signature(text string) (signature [v1SigLen]byte) {
	sum := k.mac(text)
	hex.Encode(signature[:], sum[:])
	return signature
}

// signed tells, in constant time, whether the signature of the token is this key's.
func (k *signKey) signed(p parts) bool {
	signature := k.signature(p.signed)
	return subtle.ConstantTimeCompare(signature[:len(p.signature)], []byte(p.signature)) == 1
}

// mint makes a new token of that format, signed with the key.
func (k *signKey) mint(format TokenFormat) (string, error) {
	if format == V1 {
		id, err := randomCharacters(v1IDLen)
		return k.token(V1, id, ""), err
	}
	random, err := randomCharacters(v2IDLen + v2PadLen)
	if err != nil {
		return "", err
	}
	return k.token(V2, random[:v2IDLen], random[v2IDLen:]), nil
}

// derive makes the v2 token of a secret. What is signed for it begins as no token does.
func (k *signKey) derive(secret string) string {
	text := make([]byte, 0, v2IDLen+v2PadLen)
	for block := 0; ; block++ {
		for _, b := range k.mac(fmt.Sprintf("derive %d %s", block, secret)) {
			if number := int(b & 63); number < len(alphabet) {
				text = append(text, alphabet[number])
				if len(text) == cap(text) {
					return k.token(V2, string(text[:v2IDLen]), string(text[v2IDLen:]))
				}
			}
		}
	}
}

// token puts a token together.
func (k *signKey) token(format TokenFormat, id, pad string) string {
	if format == V1 {
		signature := k.signature(id)
		return "v1." + id + "." + string(signature[:])
	}
	signature := k.signature("v2." + id)
	return "v2." + id + "." + string(signature[:v2SigLen]) + pad
}

// randomCharacters draws each character uniformly: six random bits that number none are drawn again.
func randomCharacters(count int) (string, error) {
	text := make([]byte, 0, count)
	var random [32]byte
	for {
		if _, err := rand.Read(random[:]); err != nil {
			return "", fmt.Errorf("sessiongate: no random numbers: %w", err)
		}
		for _, b := range random {
			if number := int(b & 63); number < len(alphabet) {
				text = append(text, alphabet[number])
				if len(text) == count {
					return string(text), nil
				}
			}
		}
	}
}
