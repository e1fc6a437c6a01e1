import ca.uhn.hl7v2.AcknowledgmentCode;
import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.HL7Exception;
import ca.uhn.hl7v2.app.HL7Service;
import ca.uhn.hl7v2.llp.MinLowerLayerProtocol;
import ca.uhn.hl7v2.model.Message;
import ca.uhn.hl7v2.protocol.ReceivingApplication;
import ca.uhn.hl7v2.util.Terser;
import java.io.IOException;
import java.util.Map;

/** Receives by HAPI's SimpleServer, which parses each message; the ACK is HAPI's too. */
public final class HapiServer {
    public static void main(String[] args) throws Exception {
        Job job = new Job();
        DefaultHapiContext context = new DefaultHapiContext();
        context.setLowerLayerProtocol(new MinLowerLayerProtocol(true));
        context.setSocketFactory(new Sockets(job));
        HL7Service server = context.newServer(1, job.text("cert") != null); // Sockets chooses the port
        server.registerApplication(new ReceivingApplication<Message>() {
            @Override
            public boolean canProcess(Message m) {
                return true;
            }

            @Override
            public Message processMessage(Message m, Map<String, Object> about) throws HL7Exception {
                String family = new Terser(m).get("/.PID-5-1");
                job.tell(Map.of("id", new Terser(m).get("MSH-10"), "family", family, "length", m.encode().length()));
                try {
                    if (family.equals("REFUSED")) {
                        return m.generateACK(AcknowledgmentCode.AE, new HL7Exception("refused"));
                    }
                    return m.generateACK();
                } catch (IOException e) {
                    throw new HL7Exception(e);
                }
            }
        });
        server.startAndWait();
        job.await();
        System.exit(0); // HAPI's own threads stay for a while
    }
}
