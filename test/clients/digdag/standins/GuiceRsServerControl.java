package io.digdag.guice.rs;

public interface GuiceRsServerControl {}
