import java.security.KeyStore;
import org.apache.camel.impl.DefaultCamelContext;
import org.apache.camel.component.mllp.MllpEndpoint;
import org.apache.camel.support.jsse.KeyManagersParameters;
import org.apache.camel.support.jsse.KeyStoreParameters;
import org.apache.camel.support.jsse.SSLContextParameters;
import org.apache.camel.support.jsse.TrustManagersParameters;

/** What Camel's two sides share. */
final class Camel {
    private Camel() {}

    /** The endpoint of the job, over TLS if the job has certificates. */
    static MllpEndpoint endpoint(DefaultCamelContext context, Job job, String host, int port) throws Exception {
        String options = "?idleTimeoutStrategy=CLOSE&charsetName=" + job.text("charset");
        MllpEndpoint e = context.getEndpoint("mllp:" + host + ":" + port + options, MllpEndpoint.class);
        if (job.authority() != null || job.identity() != null) {
            e.setSslContextParameters(tls(job));
        }
        return e;
    }

    private static SSLContextParameters tls(Job job) throws Exception {
        SSLContextParameters tls = new SSLContextParameters();
        if (job.authority() != null) {
            TrustManagersParameters trust = new TrustManagersParameters();
            trust.setKeyStore(inMemory(job.authority()));
            tls.setTrustManagers(trust);
        }
        if (job.identity() != null) {
            KeyManagersParameters keys = new KeyManagersParameters();
            keys.setKeyStore(inMemory(job.identity()));
            keys.setKeyPassword(new String(Job.PASSWORD));
            tls.setKeyManagers(keys);
        }
        return tls;
    }

    private static KeyStoreParameters inMemory(KeyStore store) {
        KeyStoreParameters p = new KeyStoreParameters();
        p.setKeyStore(store);
        return p;
    }
}
