package io.digdag.server;

public class ServerBootstrap {
    public ServerBootstrap(io.digdag.client.Version version, ServerConfig config) {
        throw new UnsupportedOperationException();
    }
}
