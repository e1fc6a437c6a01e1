package hl7v2

// segmentName is what the standard calls a segment and its fields.
type segmentName struct {
	title  string
	fields []string // field n is at n-1
}

// segmentNames holds the names of v2.4 and of the fields that later versions
// added, for the segments of patient administration, queries, answers and
// batches.
var segmentNames = map[string]segmentName{
	"MSH": {"Message Header", []string{
		"Field Separator", "Encoding Characters", "Sending Application", "Sending Facility",
		"Receiving Application", "Receiving Facility", "Date/Time of Message", "Security",
		"Message Type", "Message Control ID", "Processing ID", "Version ID",
		"Sequence Number", "Continuation Pointer", "Accept Acknowledgment Type",
		"Application Acknowledgment Type", "Country Code", "Character Set",
		"Principal Language of Message", "Alternate Character Set Handling Scheme",
		"Conformance Statement ID", "Sending Responsible Organization",
		"Receiving Responsible Organization", "Sending Network Address", "Receiving Network Address",
	}},
	"SFT": {"Software", []string{
		"Software Vendor Organization", "Software Certified Version or Release Number",
		"Software Product Name", "Software Binary ID", "Software Product Information", "Software Install Date",
	}},
	"EVN": {"Event Type", []string{
		"Event Type Code", "Recorded Date/Time", "Date/Time Planned Event", "Event Reason Code",
		"Operator ID", "Event Occurred", "Event Facility",
	}},
	"PID": {"Patient Identification", []string{
		"Set ID - PID", "Patient ID", "Patient Identifier List", "Alternate Patient ID - PID",
		"Patient Name", "Mother's Maiden Name", "Date/Time of Birth", "Administrative Sex",
		"Patient Alias", "Race", "Patient Address", "County Code",
		"Phone Number - Home", "Phone Number - Business", "Primary Language", "Marital Status",
		"Religion", "Patient Account Number", "SSN Number - Patient", "Driver's License Number - Patient",
		"Mother's Identifier", "Ethnic Group", "Birth Place", "Multiple Birth Indicator",
		"Birth Order", "Citizenship", "Veterans Military Status", "Nationality",
		"Patient Death Date and Time", "Patient Death Indicator", "Identity Unknown Indicator",
		"Identity Reliability Code", "Last Update Date/Time", "Last Update Facility",
		"Species Code", "Breed Code", "Strain", "Production Class Code", "Tribal Citizenship",
	}},
	"PD1": {"Patient Additional Demographic", []string{
		"Living Dependency", "Living Arrangement", "Patient Primary Facility",
		"Patient Primary Care Provider Name & ID No.", "Student Indicator", "Handicap",
		"Living Will Code", "Organ Donor Code", "Separate Bill", "Duplicate Patient",
		"Publicity Code", "Protection Indicator", "Protection Indicator Effective Date",
		"Place of Worship", "Advance Directive Code", "Immunization Registry Status",
		"Immunization Registry Status Effective Date", "Publicity Code Effective Date",
		"Military Branch", "Military Rank/Grade", "Military Status",
	}},
	"NK1": {"Next of Kin / Associated Parties", []string{
		"Set ID - NK1", "Name", "Relationship", "Address", "Phone Number", "Business Phone Number",
		"Contact Role", "Start Date", "End Date", "Next of Kin / Associated Parties Job Title",
		"Next of Kin / Associated Parties Job Code/Class",
		"Next of Kin / Associated Parties Employee Number", "Organization Name - NK1",
		"Marital Status", "Administrative Sex", "Date/Time of Birth", "Living Dependency",
		"Ambulatory Status", "Citizenship", "Primary Language", "Living Arrangement",
		"Publicity Code", "Protection Indicator", "Student Indicator", "Religion",
		"Mother's Maiden Name", "Nationality", "Ethnic Group", "Contact Reason",
		"Contact Person's Name", "Contact Person's Telephone Number", "Contact Person's Address",
		"Next of Kin / Associated Party's Identifiers", "Job Status", "Race", "Handicap",
		"Contact Person Social Security Number", "Next of Kin Birth Place", "VIP Indicator",
	}},
	"PV1": {"Patient Visit", []string{
		"Set ID - PV1", "Patient Class", "Assigned Patient Location", "Admission Type",
		"Preadmit Number", "Prior Patient Location", "Attending Doctor", "Referring Doctor",
		"Consulting Doctor", "Hospital Service", "Temporary Location", "Preadmit Test Indicator",
		"Re-admission Indicator", "Admit Source", "Ambulatory Status", "VIP Indicator",
		"Admitting Doctor", "Patient Type", "Visit Number", "Financial Class",
		"Charge Price Indicator", "Courtesy Code", "Credit Rating", "Contract Code",
		"Contract Effective Date", "Contract Amount", "Contract Period", "Interest Code",
		"Transfer to Bad Debt Code", "Transfer to Bad Debt Date", "Bad Debt Agency Code",
		"Bad Debt Transfer Amount", "Bad Debt Recovery Amount", "Delete Account Indicator",
		"Delete Account Date", "Discharge Disposition", "Discharged to Location", "Diet Type",
		"Servicing Facility", "Bed Status", "Account Status", "Pending Location",
		"Prior Temporary Location", "Admit Date/Time", "Discharge Date/Time",
		"Current Patient Balance", "Total Charges", "Total Adjustments", "Total Payments",
		"Alternate Visit ID", "Visit Indicator", "Other Healthcare Provider",
	}},
	"MRG": {"Merge Patient Information", []string{
		"Prior Patient Identifier List", "Prior Alternate Patient ID", "Prior Patient Account Number",
		"Prior Patient ID", "Prior Visit Number", "Prior Alternate Visit ID", "Prior Patient Name",
	}},
	"NTE": {"Notes and Comments", []string{"Set ID - NTE", "Source of Comment", "Comment", "Comment Type"}},
	"MSA": {"Message Acknowledgment", []string{
		"Acknowledgment Code", "Message Control ID", "Text Message", "Expected Sequence Number",
		"Delayed Acknowledgment Type", "Error Condition",
	}},
	"ERR": {"Error", []string{
		"Error Code and Location", "Error Location", "HL7 Error Code", "Severity",
		"Application Error Code", "Application Error Parameter", "Diagnostic Information",
		"User Message", "Inform Person Indicator", "Override Type", "Override Reason Code",
		"Help Desk Contact Point",
	}},
	"QAK": {"Query Acknowledgment", []string{
		"Query Tag", "Query Response Status", "Message Query Name", "Hit Count", "This Payload", "Hits Remaining",
	}},
	"QRD": {"Query Definition", []string{
		"Query Date/Time", "Query Format Code", "Query Priority", "Query ID",
		"Deferred Response Type", "Deferred Response Date/Time", "Quantity Limited Request",
		"Who Subject Filter", "What Subject Filter", "What Department Data Code",
		"What Data Code Value Qualifier", "Query Results Level",
	}},
	"QRF": {"Query Filter", []string{
		"Where Subject Filter", "When Data Start Date/Time", "When Data End Date/Time",
		"What User Qualifier", "Other QRY Subject Filter", "Which Date/Time Qualifier",
		"Which Date/Time Status Qualifier", "Date/Time Selection Qualifier",
		"When Quantity/Timing Qualifier", "Search Confidence Threshold",
	}},
	"QPD": {"Query Parameter Definition", []string{"Message Query Name", "Query Tag", "User Parameters (in successive fields)"}},
	"QID": {"Query Identification", []string{"Query Tag", "Message Query Name"}},
	"QRI": {"Query Response Instance", []string{"Candidate Confidence", "Match Reason Code", "Algorithm Descriptor"}},
	"RCP": {"Response Control Parameter", []string{
		"Query Priority", "Quantity Limited Request", "Response Modality",
		"Execution and Delivery Time", "Modify Indicator", "Sort-by Field", "Segment Group Inclusion",
	}},
	"DSC": {"Continuation Pointer", []string{"Continuation Pointer", "Continuation Style"}},
	"FHS": {"File Header", []string{
		"File Field Separator", "File Encoding Characters", "File Sending Application",
		"File Sending Facility", "File Receiving Application", "File Receiving Facility",
		"File Creation Date/Time", "File Security", "File Name/ID", "File Header Comment",
		"File Control ID", "Reference File Control ID",
	}},
	"BHS": {"Batch Header", []string{
		"Batch Field Separator", "Batch Encoding Characters", "Batch Sending Application",
		"Batch Sending Facility", "Batch Receiving Application", "Batch Receiving Facility",
		"Batch Creation Date/Time", "Batch Security", "Batch Name/ID/Type", "Batch Comment",
		"Batch Control ID", "Reference Batch Control ID",
	}},
	"BTS": {"Batch Trailer", []string{"Batch Message Count", "Batch Comment", "Batch Totals"}},
	"FTS": {"File Trailer", []string{"File Batch Count", "File Trailer Comment"}},
}

// fieldName returns what field n of a segment is called in a version, "" when
// it is not in the table. v2.5 gave MSH-21 another name and kept the rest.
func fieldName(segment string, n int, v25 bool) string {
	fields := segmentNames[segment].fields
	switch {
	case n < 1 || n > len(fields):
		return ""
	case v25 && segment == "MSH" && n == 21:
		return "Message Profile Identifier"
	}
	return fields[n-1]
}
