import ca.uhn.hl7v2.util.StandardSocketFactory;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketAddress;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** Sockets for HAPI, which by itself takes its keys from system properties and listens on every interface. */
final class Sockets extends StandardSocketFactory {
    private final Job job;

    Sockets(Job job) {
        this.job = job;
    }

    @Override
    public Socket createTlsSocket() throws IOException {
        return context().getSocketFactory().createSocket();
    }

    @Override
    public ServerSocket createServerSocket() throws IOException {
        return new Loopback();
    }

    @Override
    public ServerSocket createTlsServerSocket() throws IOException {
        SSLContext context = context();
        return new Loopback() {
            @Override
            public Socket accept() throws IOException {
                SSLSocket s = (SSLSocket) context.getSocketFactory().createSocket(super.accept(), null, true);
                s.setUseClientMode(false);
                return s;
            }
        };
    }

    private SSLContext context() throws IOException {
        try {
            KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            keys.init(job.identity(), Job.PASSWORD);
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(job.authority());
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
            return context;
        } catch (Exception e) {
            throw new IOException(e);
        }
    }

    /** A listener on a port of loopback that the kernel chooses. */
    private class Loopback extends ServerSocket {
        Loopback() throws IOException {}

        @Override
        public void bind(SocketAddress any, int backlog) throws IOException {
            super.bind(new InetSocketAddress("127.0.0.1", 0), backlog);
            job.tell(Map.of("port", getLocalPort()));
        }
    }
}
