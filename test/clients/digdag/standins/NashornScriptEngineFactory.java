package jdk.nashorn.api.scripting;

/** Newer Javas have none, and a client computes nothing. */
public class NashornScriptEngineFactory {
    public javax.script.ScriptEngine getScriptEngine(String... options) {
        throw new UnsupportedOperationException();
    }
}
