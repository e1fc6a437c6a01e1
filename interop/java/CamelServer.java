import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.util.Terser;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.Map;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.mllp.MllpConstants;
import org.apache.camel.component.mllp.MllpEndpoint;
import org.apache.camel.impl.DefaultCamelContext;

/** Receives by Camel's MLLP consumer, which builds the ACK. */
public final class CamelServer {
    public static void main(String[] args) throws Exception {
        Job job = new Job();
        DefaultCamelContext context = new DefaultCamelContext();
        DefaultHapiContext hapi = new DefaultHapiContext();
        int port = freePort();
        MllpEndpoint from = Camel.endpoint(context, job, "127.0.0.1", port);
        context.addRoutes(new RouteBuilder() {
            @Override
            public void configure() {
                from(from).process(x -> {
                    String body = x.getIn().getBody(String.class);
                    Terser t = new Terser(hapi.getPipeParser().parse(body));
                    job.tell(Map.of("id", x.getIn().getHeader(MllpConstants.MLLP_MESSAGE_CONTROL, String.class),
                            "family", t.get("/.PID-5-1"), "length", body.length()));
                    if (t.get("/.PID-5-1").equals("REFUSED")) {
                        x.setProperty(MllpConstants.MLLP_ACKNOWLEDGEMENT_TYPE, "AE");
                    }
                });
            }
        });
        context.start();
        job.tell(Map.of("port", port));
        job.await();
        System.exit(0);
    }

    /** Camel does not tell which port it got, so it must be told one. */
    private static int freePort() throws Exception {
        try (ServerSocket s = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return s.getLocalPort();
        }
    }
}
