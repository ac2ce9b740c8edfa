package io.digdag.server;

public interface ServerConfig {}
