package io.digdag.standards;

import com.google.common.base.Optional;
import java.util.Map;

/** There is no proxy. */
public class Proxies {
    @SuppressWarnings("rawtypes")
    public static Optional proxyConfigFromEnv(String scheme, Map<String, String> env) {
        return Optional.absent();
    }
}
