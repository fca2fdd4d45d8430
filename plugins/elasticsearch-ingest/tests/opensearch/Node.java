// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * One OpenSearch node: {@code java Node.java HOME}. Its settings are the lines of HOME/settings, its plugins
 * are in HOME/plugins.
 */
public class Node {
    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]);
        List<String> lines = Files.readAllLines(home.resolve("settings"));
        OpenSearchRunner runner = new OpenSearchRunner();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        runner.onBuild((number, settings) -> {
            settings.put("path.home", home.toString());
            for (String line : lines) {
                String[] setting = line.split(": ", 2);
                settings.put(setting[0], setting[1]);
            }
        });
        String base = home.resolve("node").toString();
        runner.build(OpenSearchRunner.newConfigs().numOfNode(1).basePath(base).useLogger());
        Thread.currentThread().join();
    }
}
