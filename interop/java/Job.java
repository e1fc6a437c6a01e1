import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.camel.util.json.JsonObject;
import org.apache.camel.util.json.Jsoner;

/**
 * What the peers share: the job is the first line of standard input, what they have to tell
 * is one JSON object a line on standard output.
 */
final class Job {
    static final char[] PASSWORD = "interop".toCharArray(); // of key stores that live in memory

    private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final JsonObject job;

    Job() throws Exception {
        // The libraries' threads would keep the process alive.
        Thread.setDefaultUncaughtExceptionHandler((thread, e) -> {
            e.printStackTrace();
            System.exit(1);
        });
        job = (JsonObject) Jsoner.deserialize(in.readLine());
    }

    String text(String name) {
        return job.getString(name);
    }

    int port() {
        return job.getInteger("port");
    }

    boolean is(String name) {
        return job.getBoolean(name);
    }

    List<String> messages() throws Exception {
        return job.<List<String>>getCollection("messages");
    }

    boolean latin1() {
        return text("charset").equals("iso-8859-1");
    }

    synchronized void tell(Map<String, Object> what) {
        out.println(new JsonObject(what).toJson());
    }

    /** Waits until the test has ended. */
    void await() throws Exception {
        while (in.readLine() != null) {}
    }

    /** The authority to believe, or null for plain TCP. */
    KeyStore authority() throws Exception {
        if (text("ca") == null) {
            return null;
        }
        KeyStore store = empty();
        store.setCertificateEntry("ca", certificate(text("ca")));
        return store;
    }

    /** The server's certificate and its key, or null for plain TCP. */
    KeyStore identity() throws Exception {
        if (text("cert") == null) {
            return null;
        }
        String pem = Files.readString(Path.of(text("key"))).replaceAll("-----[A-Z ]*-----|\\s", "");
        PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
        KeyStore store = empty();
        store.setKeyEntry("server", key, PASSWORD, new Certificate[] {certificate(text("cert"))});
        return store;
    }

    private static KeyStore empty() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, PASSWORD);
        return store;
    }

    private static Certificate certificate(String file) throws Exception {
        try (var in = Files.newInputStream(Path.of(file))) {
            return CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }
}
