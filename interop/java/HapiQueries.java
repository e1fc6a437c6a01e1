import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.HL7Exception;
import ca.uhn.hl7v2.app.Connection;
import ca.uhn.hl7v2.llp.MinLowerLayerProtocol;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.model.v25.message.QBP_Q21;
import ca.uhn.hl7v2.model.v25.message.RSP_K21;
import ca.uhn.hl7v2.model.v25.message.RSP_K23;
import ca.uhn.hl7v2.model.v25.segment.PID;
import ca.uhn.hl7v2.model.v25.segment.QAK;
import ca.uhn.hl7v2.util.Terser;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Asks as a consumer of IHE PDQ and PIX does: questions and answers by HAPI's typed classes of 2.5. */
public final class HapiQueries {
    public static void main(String[] args) throws Exception {
        Job job = new Job();
        try (DefaultHapiContext context = new DefaultHapiContext()) {
            context.setLowerLayerProtocol(new MinLowerLayerProtocol(true));
            context.setSocketFactory(new Sockets(job));
            context.setValidationContext(new Answer.Checks());
            Connection c = context.newClient(job.text("host"), job.port(), job.text("ca") != null);
            c.getInitiator().setTimeout(30, TimeUnit.SECONDS);
            for (String told : job.messages()) {
                c.getInitiator().sendAndReceive(context.getPipeParser().parse(told));
            }
            int n = 0;
            for (Message question : questions()) {
                Terser t = new Terser(question);
                t.set("MSH-10", "TYPED" + n++);
                job.tell(read(c.getInitiator().sendAndReceive(question)));
            }
            c.close();
        }
        System.exit(0); // HAPI's own threads stay for a while
    }

    private static List<Message> questions() throws Exception {
        List<Message> all = new ArrayList<>();
        all.add(parameters("Q22", "IHE PDQ Query", "@PID.5.1.1^HALVORSEN", "@PID.7.1^19620417", "@PID.8^F", "@PID.11.5^LS99 1AA"));
        all.add(parameters("Q22", "IHE PDQ Query", "@PID.5.1.1^NOBODYSON", "@PID.7.1^19620417", "@PID.8^F"));
        all.add(parameters("Q22", "IHE PDQ Query", "@PID.8^F"));
        all.add(identifier("Q21", "Get Person Demographics", "LA", "RXX", "MR"));
        all.add(identifier("Q23", "IHE PIX Query", "LA", "RXX", "MR"));
        all.add(identifier("Q23", "IHE PIX Query", "NEVERSEEN", "RXX", "MR"));
        return all;
    }

    private static QBP_Q21 question(String event, String name) throws Exception {
        QBP_Q21 q = new QBP_Q21();
        q.initQuickstart("QBP", event, "P");
        q.getMSH().getMsh9_MessageType().getMessageStructure().setValue("QBP_Q21");
        q.getMSH().getSendingApplication().getNamespaceID().setValue("CONSUMER");
        q.getQPD().getMessageQueryName().getIdentifier().setValue(name.startsWith("IHE") ? name : event);
        q.getQPD().getMessageQueryName().getText().setValue(name.startsWith("IHE") ? null : name);
        q.getQPD().getQueryTag().setValue("TAG");
        q.getRCP().getQueryPriority().setValue("I");
        q.getRCP().getQuantityLimitedRequest().getQuantity().setValue("10");
        q.getRCP().getQuantityLimitedRequest().getUnits().getIdentifier().setValue("RD");
        return q;
    }

    private static QBP_Q21 parameters(String event, String name, String... filters) throws Exception {
        QBP_Q21 q = question(event, name);
        Terser t = new Terser(q);
        for (int i = 0; i < filters.length; i++) {
            String[] parts = filters[i].split("\\^");
            t.set("QPD-3(" + i + ")-1", parts[0]);
            t.set("QPD-3(" + i + ")-2", parts[1]);
        }
        t.set("QPD-8-4", "NHS");
        return q;
    }

    private static QBP_Q21 identifier(String event, String name, String id, String authority, String type) throws Exception {
        QBP_Q21 q = question(event, name);
        Terser t = new Terser(q);
        t.set("QPD-3-1", id);
        t.set("QPD-3-4", authority);
        t.set("QPD-3-5", type);
        return q;
    }

    private static Map<String, Object> read(Message m) throws HL7Exception {
        Terser t = new Terser(m);
        Map<String, Object> told = new HashMap<>();
        told.put("class", m.getClass().getSimpleName());
        told.put("ack", t.get("MSA-1"));
        told.put("id", t.get("MSA-2"));
        told.put("place", text(t.get("ERR-2-1")) + "." + text(t.get("ERR-2-3")) + " " + text(t.get("ERR-3-1")));
        if (m instanceof RSP_K21 k) {
            query(told, k.getQAK());
            patient(told, k.getQUERY_RESPONSE().getPID());
        } else if (m instanceof RSP_K23 k) {
            query(told, k.getQAK());
            patient(told, k.getQUERY_RESPONSE().getPID());
        }
        return told;
    }

    private static void query(Map<String, Object> told, QAK qak) {
        told.put("tag", text(qak.getQueryTag().getValue()));
        told.put("status", text(qak.getQueryResponseStatus().getValue()));
        told.put("hits", text(qak.getQak4_HitCount().getValue()));
    }

    private static void patient(Map<String, Object> told, PID pid) {
        List<String> ids = new ArrayList<>();
        for (var cx : pid.getPatientIdentifierList()) {
            ids.add(text(cx.getIDNumber().getValue()) + " " + text(cx.getAssigningAuthority().getNamespaceID().getValue())
                    + " " + text(cx.getIdentifierTypeCode().getValue()));
        }
        told.put("ids", ids);
        List<String> names = new ArrayList<>();
        for (var xpn : pid.getPatientName()) {
            names.add(text(xpn.getFamilyName().getSurname().getValue()) + " " + text(xpn.getNameTypeCode().getValue()));
        }
        told.put("names", names);
        told.put("born", text(pid.getDateTimeOfBirth().getTime().getValue()));
        told.put("sex", text(pid.getAdministrativeSex().getValue()));
    }

    private static String text(String value) {
        return value == null ? "" : value;
    }
}
