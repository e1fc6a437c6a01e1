package store

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// BodyKeys are the keys that bodies are encrypted with, by AES-256-GCM. Each has a number, which is
// stored beside what it encrypted: the highest one encrypts, all decrypt. So a key is replaced by
// adding another with a higher number, and is needed for as long as bodies of its time are kept.
type BodyKeys struct {
	newest uint16
	seals  map[uint16]cipher.AEAD
	proofs map[uint16]KeyProof
}

// KeyProof tells one key from another, and nothing of it.
type KeyProof [16]byte

// ParseBodyKeys reads one key a line: its number, from 1 to 32767, a colon, 64 hexadecimal digits.
// Errors say which line is wrong, and nothing of what is in it.
func ParseBodyKeys(text string) (*BodyKeys, error) {
	k := &BodyKeys{seals: make(map[uint16]cipher.AEAD), proofs: make(map[uint16]KeyProof)}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := k.add(line); err != nil {
			return nil, fmt.Errorf("store: body keys: line %d: %w", n, err)
		}
	}
	if len(k.seals) == 0 {
		return nil, errors.New("store: body keys: there is none")
	}
	return k, nil
}

func (k *BodyKeys) add(line string) error {
	number, digits, ok := strings.Cut(line, ":")
	id, err := strconv.ParseUint(strings.TrimSpace(number), 10, 15)
	if !ok || err != nil || id == 0 {
		return errors.New("not a number from 1 to 32767, a colon, and a key")
	}
	key, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil || len(key) != 32 {
		return errors.New("the key is not 64 hexadecimal digits")
	}
	if k.seals[uint16(id)] != nil {
		return errors.New("the number came before")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	if k.seals[uint16(id)], err = cipher.NewGCM(block); err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("spinetrace body key"))
	k.proofs[uint16(id)] = KeyProof(mac.Sum(nil)[:16])
	k.newest = max(k.newest, uint16(id))
	return nil
}

// Numbers returns the numbers of the keys, in order.
func (k *BodyKeys) Numbers() []int {
	var all []int
	if k != nil {
		for id := range k.seals {
			all = append(all, int(id))
		}
	}
	slices.SortFunc(all, cmp.Compare)
	return all
}

// ErrOtherBodyKey says that a key is not the one that the store knows by its number.
var ErrOtherBodyKey = errors.New("store: a body key is another than the one of its number that the store was written with")

// Check compares the keys with those that a store was written with. fresh are those that it does not
// know yet. Errors are [ErrOtherBodyKey], and [ErrNoBodyKey] without the newest one that it knows: what
// was encrypted so far would be written in clear, or with a key that was replaced.
func (k *BodyKeys) Check(known map[uint16]KeyProof) (fresh map[uint16]KeyProof, err error) {
	if k == nil {
		k = new(BodyKeys)
	}
	fresh = maps.Clone(k.proofs)
	for _, number := range slices.Sorted(maps.Keys(known)) {
		proof, given := k.proofs[number]
		if given && proof != known[number] {
			return nil, fmt.Errorf("%w: number %d", ErrOtherBodyKey, number)
		}
		if !given && number > k.newest {
			return nil, fmt.Errorf("%w: number %d", ErrNoBodyKey, number)
		}
		delete(fresh, number)
	}
	return fresh, nil
}

// AdmitKeys compares the keys with those that a store says it was written with, and tells it of new
// ones. unkeyed is why the command line, which may have other keys, can read and not write bodies.
// Errors are those of known and add, and of [BodyKeys.Check].
func (o Options) AdmitKeys(known func() (map[uint16]KeyProof, error), add func(uint16, KeyProof) error) (unkeyed, err error) {
	proofs, err := known()
	if err != nil {
		return nil, err
	}
	fresh, err := o.BodyKeys.Check(proofs)
	switch {
	case errors.Is(err, ErrNoBodyKey) && o.Commands():
		return err, nil
	case err != nil || o.Commands() || len(fresh) == 0:
		return nil, err
	}
	for number, proof := range fresh {
		if err := add(number, proof); err != nil {
			return nil, err
		}
	}
	return o.AdmitKeys(known, add) // another instance may have been quicker
}

// BodyPlace names where the bodies of a chain's events of an exchange belong. The event's number is
// not part of it, as a body is encrypted before its event has one: which of the exchange's own
// bodies is whose is for the digests in the chain to say.
func BodyPlace(exchange ID, chain string) []byte { return append(exchange[:], chain...) }

// Seal encrypts a body with the newest key. place is where it belongs: elsewhere it cannot be
// opened. Without keys the body stays as it is, and the key's number is 0.
func (k *BodyKeys) Seal(body, place []byte) (key uint16, sealed []byte) {
	if k == nil {
		return 0, body
	}
	gcm := k.seals[k.newest]
	nonce := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(body)+gcm.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return k.newest, gcm.Seal(nonce, nonce, body, place)
}

// ErrNoBodyKey says that a body was encrypted with a key that is not given.
var ErrNoBodyKey = errors.New("store: the key of a body is not given")

// A MissingKeyError is an [ErrNoBodyKey] that names the key.
type MissingKeyError struct{ Number int }

// Error names the key by its number.
func (e *MissingKeyError) Error() string {
	return fmt.Sprintf("%s: number %d", ErrNoBodyKey, e.Number)
}

// Unwrap returns [ErrNoBodyKey].
func (e *MissingKeyError) Unwrap() error { return ErrNoBodyKey }

// Open decrypts a body. Errors are a [*MissingKeyError], and [ErrParts] for a body that was changed, or
// belongs elsewhere.
func (k *BodyKeys) Open(key uint16, sealed, place []byte) ([]byte, error) {
	if key == 0 {
		return sealed, nil
	}
	if k == nil || k.seals[key] == nil {
		return nil, &MissingKeyError{int(key)}
	}
	gcm := k.seals[key]
	if len(sealed) < gcm.NonceSize() {
		return nil, ErrParts
	}
	body, err := gcm.Open(nil, sealed[:gcm.NonceSize()], sealed[gcm.NonceSize():], place)
	if err != nil {
		return nil, ErrParts
	}
	return body, nil
}
