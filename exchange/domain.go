package exchange

import (
	"cmp"
	"errors"
	"strings"

	"spinetrace/hl7v2"
	"spinetrace/store"
)

// A Domain is an assigning authority of the trust's own patient numbers, by the two names that
// an HD can have. Either may be empty, not both.
type Domain struct{ Namespace, OID string }

// ParseDomains reads a comma list of NAMESPACE, NAMESPACE&OID and &OID.
func ParseDomains(s string) ([]Domain, error) {
	var all []Domain
	for item := range strings.SplitSeq(s, ",") {
		name, oid, _ := strings.Cut(strings.TrimSpace(item), "&")
		if name == "" && oid == "" || strings.Trim(oid, "0123456789.") != "" || strings.ContainsAny(name, `^~|\`) {
			return nil, errors.New("exchange: domain is not NAMESPACE, NAMESPACE&OID or &OID")
		}
		all = append(all, Domain{name, oid})
	}
	return all, nil
}

// domain finds the trust's domain that an HD names.
func (h *Handler) domain(name, oid string) (Domain, bool) {
	for _, d := range h.Domains {
		if d.Namespace != "" && strings.EqualFold(d.Namespace, name) || d.OID != "" && (d.OID == oid || d.OID == name) {
			return d, true
		}
	}
	return Domain{}, false
}

// local tells whether an authority is the trust's own.
func (h *Handler) local(name, oid string) bool {
	_, ok := h.domain(name, oid)
	return ok || h.LocalID.knows(name, oid)
}

// authority is an HD as the index has it: one name, whichever of the two was used.
func (h *Handler) authority(name, oid string) string {
	if d, ok := h.domain(name, oid); ok {
		name, oid = d.Namespace, d.OID
	}
	return store.Text(strings.ToUpper(strings.TrimSpace(cmp.Or(name, oid))))
}

// keyOf returns the index's key of a CX; without a local number if that is null.
func (h *Handler) keyOf(cx hl7v2.Repetition) store.PatientKey {
	if cx.IsNull() || cx.Component(1) == `""` {
		return store.PatientKey{}
	}
	return store.PatientKey{
		Authority: h.authority(cx.Component(4), cx.Sub(4, 2)),
		LocalID:   store.Text(strings.TrimSpace(cx.Component(1))),
	}
}

// localIdentifier is our output form of a local number as a CX.
func (h *Handler) localIdentifier(b *hl7v2.Builder, key store.PatientKey) string {
	marks := b.Delimiters()
	parts := []string{b.Escape(key.LocalID), "", "", b.Escape(key.Authority), "MR"}
	if d, ok := h.domain(key.Authority, key.Authority); ok && d.OID != "" && marks.Subcomponent != 0 {
		parts[3] = strings.Join([]string{b.Escape(d.Namespace), d.OID, "ISO"}, string(rune(marks.Subcomponent)))
	}
	return strings.Join(parts, string(rune(marks.Component)))
}
