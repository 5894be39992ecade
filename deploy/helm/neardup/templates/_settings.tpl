{{/* Settings as environment variables. Passwords and keys are files, whose names alone stand here. */}}

{{/* A value as the service reads it: lists with commas, whole numbers without an exponent. */}}
{{- define "neardup.text" -}}
{{- if kindIs "slice" . -}}
{{- $texts := list }}{{ range . }}{{ $texts = append $texts (include "neardup.text" .) }}{{ end }}{{ join "," $texts }}
{{- else if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}
{{ int64 . }}
{{- else -}}
{{ toString . }}
{{- end }}
{{- end }}

{{/* The settings that values name by their variables, without NEARDUP_. */}}
{{- define "neardup.settings" -}}
{{- range $name, $value := . }}
- name: NEARDUP_{{ $name }}
  value: {{ include "neardup.text" $value | quote }}
{{- end }}
{{- end }}

{{/* The login that a component has in Redis, as JSON: `redis`, or `bootstrap.redis` for the Job where that is given.
Takes (list root component). */}}
{{- define "neardup.redis" -}}
{{- $values := (first .).Values -}}
{{- $own := $values.bootstrap.redis -}}
{{- if and (eq (last .) "bootstrap") (or $own.url $own.urlKey) -}}
{{- toJson $own }}
{{- else -}}
{{- toJson $values.redis }}
{{- end }}
{{- end }}

{{/* Takes (list root component). */}}
{{- define "neardup.redisEnv" -}}
{{- with include "neardup.redis" . | fromJson }}
{{- if .urlKey }}
- name: NEARDUP_REDIS_URL_FILE
  value: /etc/neardup/redis/{{ .urlKey }}
{{- else }}
- name: NEARDUP_REDIS_URL
  value: {{ include "neardup.redisUrl" . | quote }}
{{- end }}
- name: NEARDUP_INDEX
  value: {{ (first $).Values.index | quote }}
{{- if and .existingSecret .passwordKey }}
- name: NEARDUP_REDIS_PASSWORD_FILE
  value: /etc/neardup/redis/{{ .passwordKey }}
{{- end }}
{{- end }}
{{- end }}

{{/* Takes a login. */}}
{{- define "neardup.redisUrl" -}}
{{- .url }}
{{- if .caKey }}{{ ternary "&" "?" (contains "?" .url) }}ssl_ca_certs=/etc/neardup/redis/{{ .caKey }}{{ end }}
{{- end }}

{{- define "neardup.kafkaEnv" -}}
{{- with .Values.kafka }}
- name: NEARDUP_BOOTSTRAP_SERVERS
  value: {{ .bootstrapServers | quote }}
- name: NEARDUP_SECURITY_PROTOCOL
  value: {{ .securityProtocol }}
{{- with .sasl }}
{{- if .mechanism }}
- name: NEARDUP_SASL_MECHANISM
  value: {{ .mechanism }}
{{- end }}
{{- if .username }}
- name: NEARDUP_SASL_USERNAME
  value: {{ .username | quote }}
{{- end }}
{{- if .existingSecret }}
- name: NEARDUP_SASL_PASSWORD_FILE
  value: /etc/neardup/kafka/{{ .passwordKey }}
{{- end }}
{{- end }}
{{- with .tls }}
{{- if .existingSecret }}
{{- range $name, $key := dict "CAFILE" .caKey "CERTFILE" .certKey "KEYFILE" .keyKey "KEY_PASSWORD_FILE" .keyPasswordKey }}
{{- if $key }}
- name: NEARDUP_SSL_{{ $name }}
  value: /etc/neardup/kafka-tls/{{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Topics and group of a role. Takes (list root role). */}}
{{- define "neardup.topicsEnv" -}}
{{- $role := last . }}
{{- with (first .).Values }}
{{- if ne $role "all" }}
- name: NEARDUP_ROLE
  value: {{ $role }}
- name: NEARDUP_DESCRIPTORS_TOPIC
  value: {{ .topics.descriptors | quote }}
{{- end }}
- name: NEARDUP_IMAGES_TOPIC
  value: {{ .topics.images | quote }}
- name: NEARDUP_VERDICTS_TOPIC
  value: {{ .topics.verdicts | quote }}
- name: NEARDUP_DEAD_LETTERS_TOPIC
  value: {{ .topics.deadLetters | quote }}
{{- if .topics.unique }}
- name: NEARDUP_UNIQUE_TOPIC
  value: {{ .topics.unique | quote }}
{{- end }}
- name: NEARDUP_GROUP
  value: {{ .group | quote }}
{{- end }}
{{- end }}
