package io.digdag.standards;

import com.google.inject.Module;
import com.google.inject.multibindings.Multibinder;
import io.digdag.core.Extension;
import io.digdag.spi.CommandExecutor;
import io.digdag.spi.OperatorFactory;
import java.util.Collections;
import java.util.List;

/** A client has no operators and runs no commands. */
public class StandardsExtension implements Extension {
    @Override
    public List<Module> getModules() {
        return Collections.singletonList(binder -> {
            Multibinder.newSetBinder(binder, OperatorFactory.class);
            binder.bind(CommandExecutor.class).toInstance((folder, request, process) -> {
                throw new UnsupportedOperationException();
            });
        });
    }
}
