import ca.uhn.hl7v2.DefaultHapiContext;
import org.apache.camel.Exchange;
import org.apache.camel.ProducerTemplate;
import org.apache.camel.component.mllp.MllpConstants;
import org.apache.camel.component.mllp.MllpEndpoint;
import org.apache.camel.component.mllp.MllpNegativeAcknowledgementException;
import org.apache.camel.impl.DefaultCamelContext;

/** Sends by Camel's MLLP producer. Camel itself only looks for the MSA of an answer: HAPI reads the rest. */
public final class CamelClient {
    public static void main(String[] args) throws Exception {
        Job job = new Job();
        try (DefaultCamelContext context = new DefaultCamelContext(); DefaultHapiContext hapi = new DefaultHapiContext()) {
            context.start();
            hapi.setValidationContext(new Answer.Checks());
            MllpEndpoint to = Camel.endpoint(context, job, job.text("host"), job.port());
            ProducerTemplate sender = context.createProducerTemplate(); // has the connection
            for (String text : job.messages()) {
                Exchange x = sender.request(to, e -> {
                    e.getIn().setBody(text);
                    e.setProperty(MllpConstants.MLLP_CLOSE_CONNECTION_AFTER_SEND, !job.is("keep"));
                });
                job.tell(Answer.read(hapi.getPipeParser().parse(answer(x, job.text("charset")))));
            }
        }
        System.exit(0);
    }

    /** Camel throws an exception for AE and AR, with the answer in it. */
    private static String answer(Exchange x, String charset) throws Exception {
        if (x.getException() instanceof MllpNegativeAcknowledgementException e) {
            return new String(e.getHl7AcknowledgementBytes(), charset);
        }
        if (x.getException() != null) {
            throw x.getException();
        }
        return x.getMessage().getHeader(MllpConstants.MLLP_ACKNOWLEDGEMENT_STRING, String.class);
    }
}
