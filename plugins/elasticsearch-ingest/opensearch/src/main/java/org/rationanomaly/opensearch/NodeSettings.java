// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.opensearch;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.Function;
import javax.net.ssl.SSLContext;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.opensearch.common.settings.SecureSetting;
import org.opensearch.common.settings.Setting.Property;
import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.common.util.concurrent.OpenSearchExecutors;
import org.opensearch.core.common.settings.SecureString;
import org.opensearch.core.common.unit.ByteSizeUnit;
import org.opensearch.core.common.unit.ByteSizeValue;
import org.rationanomaly.ingest.BadOption;
import org.rationanomaly.ingest.Endpoints;
import org.rationanomaly.ingest.Judge;
import org.rationanomaly.ingest.Limits;
import org.rationanomaly.ingest.Log;
import org.rationanomaly.ingest.Tls;

/** The settings of a node, in {@code opensearch.yml} and the keystore. */
final class NodeSettings {
    private static final String PREFIX = "rationanomaly.";

    static final Setting<String> ENDPOINT =
            Setting.simpleString(PREFIX + "endpoint", "http://127.0.0.1:8765", Property.NodeScope);
    static final Setting<SecureString> TOKEN = SecureSetting.secureString(PREFIX + "token", null);
    static final Setting<List<String>> AUTHORITIES = Setting.listSetting(
            PREFIX + "ssl.certificate_authorities", List.of(), Function.identity(), Property.NodeScope);
    static final Setting<Integer> QUEUE = count("queue", 50_000);
    static final Setting<Integer> BATCH = count("batch", 1_000);
    static final Setting<TimeValue> DELAY =
            duration("delay", TimeValue.timeValueMillis(3), TimeValue.timeValueSeconds(1));
    static final Setting<Integer> REQUESTS =
            Setting.intSetting(PREFIX + "requests", 4, 1, 64, Property.NodeScope);
    static final Setting<ByteSizeValue> CACHE = Setting.memorySizeSetting(
            PREFIX + "cache.size", new ByteSizeValue(16, ByteSizeUnit.MB), Property.NodeScope);
    static final Setting<TimeValue> TTL =
            duration("cache.ttl", TimeValue.timeValueMinutes(5), TimeValue.timeValueHours(24));
    static final Setting<Integer> FAILURES = count("breaker.failures", 3);
    static final Setting<TimeValue> PAUSE =
            duration("breaker.pause", TimeValue.timeValueSeconds(5), TimeValue.timeValueHours(1));
    static final Setting<TimeValue> LONGEST_PAUSE =
            duration("breaker.longest_pause", TimeValue.timeValueSeconds(60), TimeValue.timeValueHours(1));

    static final List<Setting<?>> ALL = List.of(
            ENDPOINT, TOKEN, AUTHORITIES, QUEUE, BATCH, DELAY, REQUESTS, CACHE, TTL,
            FAILURES, PAUSE, LONGEST_PAUSE);

    private NodeSettings() {}

    private static Setting<Integer> count(String name, int otherwise) {
        return Setting.intSetting(PREFIX + name, otherwise, 1, Property.NodeScope);
    }

    private static Setting<TimeValue> duration(String name, TimeValue otherwise, TimeValue most) {
        TimeValue least = TimeValue.timeValueMillis(1);
        return Setting.timeSetting(PREFIX + name, otherwise, least, most, Property.NodeScope);
    }

    /**
     * @throws IllegalArgumentException for settings that cannot be used; the node does not start with them
     */
    static Judge judge(Settings settings, Path config) {
        try {
            return new Judge(
                    Endpoints.parse(ENDPOINT.get(settings)),
                    token(settings),
                    tls(AUTHORITIES.get(settings), config),
                    limits(settings),
                    OpenSearchExecutors.daemonThreadFactory(settings, "rationanomaly"),
                    new ServerLog());
        } catch (BadOption error) {
            throw named(error);
        }
    }

    /** Use the token of the keystore from now on. */
    static void reload(Settings settings, Judge judge) {
        try {
            judge.token(token(settings));
        } catch (BadOption error) {
            throw named(error);
        }
    }

    private static IllegalArgumentException named(BadOption error) {
        return new IllegalArgumentException("[" + PREFIX + error.option() + "] " + error.getMessage(), error);
    }

    private static String token(Settings settings) {
        try (SecureString token = TOKEN.get(settings)) {
            return token.length() == 0 ? null : token.toString();
        }
    }

    private static SSLContext tls(List<String> authorities, Path config) {
        List<Path> files = authorities.stream().map(config::resolve).toList();
        return files.isEmpty() ? null : Tls.trusting(files);
    }

    private static Limits limits(Settings settings) {
        return new Limits()
                .queue(QUEUE.get(settings))
                .batch(BATCH.get(settings))
                .delay(duration(settings, DELAY))
                .requests(REQUESTS.get(settings))
                .cacheBytes(CACHE.get(settings).getBytes())
                .cacheTtl(duration(settings, TTL))
                .failures(FAILURES.get(settings))
                .pause(duration(settings, PAUSE), duration(settings, LONGEST_PAUSE));
    }

    private static Duration duration(Settings settings, Setting<TimeValue> setting) {
        return Duration.ofMillis(setting.get(settings).millis());
    }

    private static final class ServerLog implements Log {
        private static final Logger LOGGER = LogManager.getLogger(RationAnomalyPlugin.class);

        @Override
        public void info(String message) {
            LOGGER.info(message);
        }

        @Override
        public void warn(String message) {
            LOGGER.warn(message);
        }
    }
}
