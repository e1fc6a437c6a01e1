package main

import (
	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/smsp"
)

// access is ACCESS with ACCESS_NO_USER, as the back ends and the messages know it.
func (c *config) access() pds.Access {
	switch {
	case c.Access == "smartcard":
		return pds.Smartcard
	case c.Access == "attended" && c.AccessNoUser == "system":
		return pds.AttendedOrSystem
	case c.Access == "attended":
		return pds.Attended
	}
	return pds.Unattended
}

// rules are the local checks of every back end.
func (c *config) rules() pds.Rules {
	return pds.Rules{AllowWildcards: c.AllowWildcards, AllowPartialDOB: c.AllowPartialDOB, Access: c.access()}
}

// checkAccess reports what does not fit the access method. One that is not there is refused: a
// provider would take anything less for what it is not.
func (c *config) checkAccess(f *faults) {
	switch {
	case c.Access == "session":
		f.add("ACCESS", "is session, and a session authenticated with a smartcard is not supported: there is none that could be passed on; write unattended, attended or smartcard, as agreed with the provider")
	case c.Access == "smartcard" && c.Backend == "pds":
		f.add("ACCESS", "is smartcard, and pds is asked with application-restricted access, which knows no users; write unattended, or attended to record them")
	}
	if c.AccessNoUser != "" && c.Access != "attended" {
		f.add("ACCESS_NO_USER", "is given, but ACCESS is not attended; leave it out")
	}
	c.checkAccessFields(f)
	if ids, err := smsp.ParseAuditIDs(c.SMSPAuditIDs); err == nil && smsp.CheckAccess(ids, c.access()) != nil {
		f.add("SMSP_AUDIT_IDS", "does not say whom ACCESS asks for; write {user}, for smartcard 1.2.826.0.1285.0.2.0.65={user},1.2.826.0.1285.0.2.0.67={role}, or leave it out")
	}
}

func (c *config) checkAccessFields(f *faults) {
	const text = "is not a list of fields; write paths such as EVN-5.1, with commas between"
	if _, err := exchange.ParseFields(c.AccessUserFields); err != nil {
		f.add("ACCESS_USER_FIELDS", text)
	}
	switch _, err := exchange.ParseFields(c.AccessRoleFields); {
	case c.AccessRoleFields == "" && c.Access == "smartcard":
		f.add("ACCESS_ROLE_FIELDS", "is missing, and ACCESS is smartcard; write where messages say the role profile, such as ZUS-2")
	case c.AccessRoleFields == "":
	case c.Access != "smartcard":
		f.add("ACCESS_ROLE_FIELDS", "is given, but ACCESS is not smartcard; leave it out")
	case err != nil:
		f.add("ACCESS_ROLE_FIELDS", text)
	}
}
