{{/* What one value alone cannot show to be wrong: values.schema.json does the rest. All that is found is told at once. */}}
{{- define "neardup.checks" -}}
{{- $wrong := list }}
{{- range $role, $consumer := .Values.consumers }}
{{- if $consumer.enabled }}
{{- $at := printf "consumers.%s" $role }}
{{- $partitions := include "neardup.partitions" (list $ $role) | int }}
{{- $topic := include "neardup.reads" (list $ $role) }}
{{- $pods := int $consumer.replicas }}
{{- $named := "replicas" }}
{{- if $consumer.autoscaling.enabled }}
{{- $pods = include "neardup.mostReplicas" (list $ $role) | int }}
{{- $named = "autoscaling.maxReplicas" }}
{{- if gt (int $consumer.autoscaling.minReplicas) $pods }}
{{- $wrong = append $wrong (printf "%s.autoscaling.minReplicas: %d is more than the most, %d" $at (int $consumer.autoscaling.minReplicas) $pods) }}
{{- end }}
{{- end }}
{{- if gt (mul $pods $consumer.workers) $partitions }}
{{- $wrong = append $wrong (printf "%s.%s: %d pods of %d workers are more than the %d partitions of topic %s, and the rest would have no work: fewer, or say how many it has in topics.%sPartitions" $at $named $pods (int $consumer.workers) $partitions $topic (ternary "descriptors" "images" (eq $role "decide"))) }}
{{- end }}
{{- if and $.Values.topics.unique (ne $role "all") }}
{{- $wrong = append $wrong (printf "topics.unique: it works only with consumers.all, since a consumer that decides has no image to send on: leave it out, or set %s.enabled to false" $at) }}
{{- end }}
{{- if ne $role "decide" }}
{{- $wrong = concat $wrong (include "neardup.coresCheck" (list $at $consumer) | fromJsonArray) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.kafka }}
{{- if and (hasPrefix "SASL" .securityProtocol) (not .sasl.mechanism) }}
{{- $wrong = append $wrong (printf "kafka.sasl.mechanism: kafka.securityProtocol %s needs one" .securityProtocol) }}
{{- else if and (hasPrefix "SASL" .securityProtocol) (ne .sasl.mechanism "GSSAPI") (not (and .sasl.username .sasl.existingSecret)) }}
{{- $wrong = append $wrong (printf "kafka.sasl: %s needs a username, and existingSecret with the password" .sasl.mechanism) }}
{{- else if and .sasl.mechanism (not (hasPrefix "SASL" .securityProtocol)) }}
{{- $wrong = append $wrong (printf "kafka.sasl.mechanism: it needs kafka.securityProtocol SASL_SSL or SASL_PLAINTEXT, not %s" .securityProtocol) }}
{{- end }}
{{- if and .tls.existingSecret (not (hasSuffix "SSL" .securityProtocol)) }}
{{- $wrong = append $wrong (printf "kafka.tls.existingSecret: it needs kafka.securityProtocol SSL or SASL_SSL, not %s" .securityProtocol) }}
{{- end }}
{{- if and (eq .sasl.mechanism "GSSAPI") (include "neardup.scales" $) }}
{{- $wrong = append $wrong "kafka.sasl.mechanism: consumers cannot be scaled by KEDA with GSSAPI: set autoscaling.enabled to false" }}
{{- end }}
{{- end }}
{{- range $at, $login := dict "redis" .Values.redis "bootstrap.redis" .Values.bootstrap.redis }}
{{- if regexMatch "://[^/?@]*:[^@]*@|[?&][a-z_]*password=" $login.url }}
{{- $wrong = append $wrong (printf "%s.url: it has a password in it, which everybody could read who may look at pods: put it into a Secret, and name that in %s.existingSecret, or the whole URL in %s.urlKey" $at $at $at) }}
{{- end }}
{{- range $name := list "caKey" "urlKey" }}
{{- if and (get $login $name) (not $login.existingSecret) }}
{{- $wrong = append $wrong (printf "%s.%s: name the Secret that has it in %s.existingSecret" $at $name $at) }}
{{- end }}
{{- end }}
{{- if and (or $login.existingSecret (ne $login.passwordKey "password")) (not (or $login.url $login.urlKey)) }}
{{- $wrong = append $wrong (printf "%s.url: give it, or %s.urlKey: without either the rest of %s counts for nothing" $at $at $at) }}
{{- end }}
{{- if and $login.urlKey $.Values.networkPolicy.enabled (not $.Values.networkPolicy.redis.ports) }}
{{- $wrong = append $wrong (printf "networkPolicy.redis.ports: name them, since nobody sees them in the URL that %s.urlKey keeps secret" $at) }}
{{- end }}
{{- end }}
{{- with .Values.serve }}
{{- if .enabled }}
{{- if not (or .tokens.existingSecret .allowAnonymous) }}
{{- $wrong = append $wrong "serve.tokens.existingSecret: name a Secret of tokens that requests have to show, or let anybody judge and look up with serve.allowAnonymous" }}
{{- else if and .tokens.existingSecret .allowAnonymous }}
{{- $wrong = append $wrong "serve.allowAnonymous: serve.tokens.existingSecret asks for tokens and this does not: give only one" }}
{{- else if and $.Values.metrics.serviceMonitor.enabled .tokens.existingSecret (not .tokens.metricsKey) }}
{{- $wrong = append $wrong "serve.tokens.metricsKey: Prometheus needs a token to scrape with: name the key of the Secret that has one alone" }}
{{- end }}
{{- $wrong = concat $wrong (include "neardup.coresCheck" (list "serve" .) | fromJsonArray) }}
{{- end }}
{{- end }}
{{- if and .Values.bootstrap.enabled (not .Values.bootstrap.seeds.volume) }}
{{- $wrong = append $wrong "bootstrap.seeds.volume: say what the seeds are on, such as {persistentVolumeClaim: {claimName: seeds}}" }}
{{- end }}
{{- if $wrong }}
{{- fail (printf "\n\n%s\n" (join "\n" $wrong)) }}
{{- end }}
{{- end }}

{{/* What decodes starts a process for each core that it may have: without a limit, for each of its node. */}}
{{- define "neardup.coresCheck" -}}
{{- $limits := dig "resources" "limits" (dict) (last .) -}}
{{- if or (hasKey (default (dict) $limits) "cpu") (hasKey (last .).settings "DECODE_WORKERS") -}}
[]
{{- else -}}
{{ list (printf "%s.resources.limits.cpu: give a limit, or settings.DECODE_WORKERS: without either each pod starts a decoding process for every core of its node" (first .)) | toJson }}
{{- end }}
{{- end }}
