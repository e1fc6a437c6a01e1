import ca.uhn.hl7v2.HL7Exception;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.model.Primitive;
import ca.uhn.hl7v2.model.v24.message.ADR_A19;
import ca.uhn.hl7v2.util.Terser;
import ca.uhn.hl7v2.validation.PrimitiveTypeRule;
import ca.uhn.hl7v2.validation.impl.DefaultValidation;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What HAPI's parser and its typed classes read in an answer. */
final class Answer {
    private Answer() {}

    /** HAPI's own checks, but for NM: the practice's code in PD1-3.3 has letters all over the NHS. */
    static final class Checks extends DefaultValidation {
        private static final long serialVersionUID = 1;

        @Override
        public Collection<PrimitiveTypeRule> getPrimitiveRules(String version, String type, Primitive p) {
            return type.equals("NM") ? List.of() : super.getPrimitiveRules(version, type, p);
        }
    }

    static Map<String, Object> read(Message m) throws HL7Exception {
        Terser t = new Terser(m);
        Map<String, Object> told = new HashMap<>(Map.of(
                "class", m.getClass().getSimpleName(), "ack", t.get("MSA-1"), "id", t.get("MSA-2"),
                "text", t.get("MSA-3") == null ? "" : t.get("MSA-3"), "number", "", "family", ""));
        if (m instanceof ADR_A19 a) {
            patient(told, a.getQUERY_RESPONSE().getPID());
        } else if (m instanceof ca.uhn.hl7v2.model.v25.message.RSP_K21 k) {
            patient(told, k.getQUERY_RESPONSE().getPID());
        } else if (m instanceof ca.uhn.hl7v2.model.v25.message.RSP_K23 k) {
            patient(told, k.getQUERY_RESPONSE().getPID());
        } else if (m instanceof ca.uhn.hl7v2.model.v24.message.RSP_K22 k) {
            patient(told, k.getQUERY_RESPONSE().getPID());
        } else if (Arrays.asList(m.getNames()).contains("PID")) {
            // The ACK of the standard has no PID: HAPI adds it as a segment of its own.
            patient(told, (ca.uhn.hl7v2.model.v24.segment.PID) m.get("PID"));
        }
        return told;
    }

    private static void patient(Map<String, Object> told, ca.uhn.hl7v2.model.v24.segment.PID pid) {
        told.put("number", text(pid.getPatientIdentifierList(last(pid.getPatientIdentifierListReps())).getID().getValue()));
        told.put("family", text(pid.getPatientName(0).getFamilyName().getSurname().getValue()));
    }

    private static void patient(Map<String, Object> told, ca.uhn.hl7v2.model.v25.segment.PID pid) {
        told.put("number", text(pid.getPatientIdentifierList(last(pid.getPatientIdentifierListReps())).getIDNumber().getValue()));
        told.put("family", text(pid.getPatientName(0).getFamilyName().getSurname().getValue()));
    }

    private static int last(int n) {
        return Math.max(n - 1, 0);
    }

    private static String text(String value) {
        return value == null ? "" : value;
    }
}
