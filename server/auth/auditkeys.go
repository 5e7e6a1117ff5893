package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"
)

// NewAuditKeys takes the keys by version.
func NewAuditKeys(keys map[uint32][]byte) *AuditKeys {
	k := &AuditKeys{keys: keys}
	for version := range keys {
		k.current = max(k.current, version)
	}
	return k
}

// Link returns the chain value of e behind an event whose chain value is before. Every field is framed by its length, so that no two
// events have one form.
func (k *AuditKeys) Link(before [sha256.Size]byte, e *AuditEvent) (chain [sha256.Size]byte) {
	return k.link(k.current, before, e)
}

// Linked reports whether e's chain value is the right one behind before, under any version of the key.
func (k *AuditKeys) Linked(before [sha256.Size]byte, e *AuditEvent) bool {
	for version := range k.keys {
		if chain := k.link(version, before, e); hmac.Equal(chain[:], e.Chain[:]) {
			return true
		}
	}
	return false
}

func (k *AuditKeys) link(version uint32, before [sha256.Size]byte, e *AuditEvent) (chain [sha256.Size]byte) {
	mac := hmac.New(sha256.New, k.keys[version])
	frame(mac, "event", string(before[:]), string(e.ID[:]), number(e.Number), number(uint64(e.At.UnixMicro())),
		string(e.Actor.Client[:]), string(e.Actor.Credential[:]), e.Actor.Name, e.Actor.Source, e.Actor.Request, e.Action, e.Target, e.Changes)
	mac.Sum(chain[:0])
	return chain
}

// What a checkpoint is sealed as. The two have different seals: whoever has a head that was given out cannot pass it for the place
// up to which the log was cut.
const (
	sealedHead  = "head"
	sealedFloor = "floor"
)

// Seal sets h.Seal, as that of a head that is given out.
func (k *AuditKeys) Seal(h *AuditHead) { h.Seal = k.seal(k.current, sealedHead, h) }

// Sealed reports whether a server with these keys gave h out.
func (k *AuditKeys) Sealed(h *AuditHead) bool { return k.sealed(sealedHead, h) }

// SealFloor sets h.Seal, as that of the checkpoint up to which the log was cut.
func (k *AuditKeys) SealFloor(h *AuditHead) { h.Seal = k.seal(k.current, sealedFloor, h) }

// FloorSealed reports whether a server with these keys cut the log at h.
func (k *AuditKeys) FloorSealed(h *AuditHead) bool { return k.sealed(sealedFloor, h) }

func (k *AuditKeys) sealed(as string, h *AuditHead) bool {
	for version := range k.keys {
		if seal := k.seal(version, as, h); hmac.Equal(seal[:], h.Seal[:]) {
			return true
		}
	}
	return false
}

func (k *AuditKeys) seal(version uint32, as string, h *AuditHead) (seal [sha256.Size]byte) {
	mac := hmac.New(sha256.New, k.keys[version])
	frame(mac, as, number(h.Number), string(h.Chain[:]))
	mac.Sum(seal[:0])
	return seal
}

func frame(mac hash.Hash, fields ...string) {
	for _, field := range fields {
		mac.Write([]byte(number(uint64(len(field)))))
		mac.Write([]byte(field))
	}
}

func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// AuditRetention is how long audit events are kept where nothing else is set.
const AuditRetention = 400 * 24 * time.Hour
