import ca.uhn.hl7v2.DefaultHapiContext;
import ca.uhn.hl7v2.app.Connection;
import ca.uhn.hl7v2.llp.MinLowerLayerProtocol;
import ca.uhn.hl7v2.model.Message;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Sends by HAPI's Initiator and reads the answers by its typed classes. */
public final class HapiClient {
    public static void main(String[] args) throws Exception {
        Job job = new Job();
        try (DefaultHapiContext context = new DefaultHapiContext()) {
            context.setLowerLayerProtocol(new MinLowerLayerProtocol(true)); // the charset is MSH-18's
            context.setSocketFactory(new Sockets(job));
            context.setValidationContext(new Answer.Checks());
            List<Callable<Map<String, Object>>> sends = new ArrayList<>();
            Connection shared = job.is("keep") ? connect(context, job) : null;
            for (String text : job.messages()) {
                Message m = context.getPipeParser().parse(text);
                sends.add(() -> {
                    Connection c = shared != null ? shared : connect(context, job);
                    try {
                        return Answer.read(send(c, m));
                    } finally {
                        if (shared == null) {
                            c.close();
                        }
                    }
                });
            }
            // Pipelined: HAPI lets several threads have their messages under way on one connection.
            ExecutorService threads = Executors.newFixedThreadPool(job.is("pipeline") ? sends.size() : 1);
            for (Future<Map<String, Object>> answer : threads.invokeAll(sends)) {
                job.tell(answer.get());
            }
            threads.shutdown();
            if (shared != null) {
                shared.close();
            }
        }
        System.exit(0); // HAPI's own threads stay for a while
    }

    private static Connection connect(DefaultHapiContext context, Job job) throws Exception {
        return context.newClient(job.text("host"), job.port(), job.text("ca") != null);
    }

    private static Message send(Connection c, Message m) throws Exception {
        c.getInitiator().setTimeout(30, TimeUnit.SECONDS);
        return c.getInitiator().sendAndReceive(m);
    }
}
