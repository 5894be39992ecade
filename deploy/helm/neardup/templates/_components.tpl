{{/* What is there, and how much of it there may be. */}}

{{/* The Deployments that there are, by component, as JSON. */}}
{{- define "neardup.components" -}}
{{- $found := list }}
{{- range $role, $consumer := .Values.consumers }}
{{- if $consumer.enabled }}{{ $found = append $found (include "neardup.component" $role) }}{{ end }}
{{- end }}
{{- if .Values.serve.enabled }}{{ $found = append $found "serve" }}{{ end }}
{{- toJson $found }}
{{- end }}

{{/* Whether there is a consumer; empty for no. */}}
{{- define "neardup.consumes" -}}
{{- range .Values.consumers }}{{ if .enabled }}yes{{ end }}{{ end }}
{{- end }}

{{/* Whether any of them is scaled; empty for no. */}}
{{- define "neardup.scales" -}}
{{- range .Values.consumers }}{{ if and .enabled .autoscaling.enabled }}yes{{ end }}{{ end }}
{{- end }}

{{/* The most pods of a role that have work: each of their workers needs a partition. Takes (list root role). */}}
{{- define "neardup.mostUseful" -}}
{{- div (include "neardup.partitions" .) (index (first .).Values.consumers (last .)).workers }}
{{- end }}

{{/* How far a role is scaled. Takes (list root role). */}}
{{- define "neardup.mostReplicas" -}}
{{- default (include "neardup.mostUseful" .) ((index (first .).Values.consumers (last .)).autoscaling.maxReplicas | int) }}
{{- end }}

{{/* Ports of the servers that values name, as JSON: those of Kafka. */}}
{{- define "neardup.kafkaPorts" -}}
{{- $ports := list }}
{{- range splitList "," .Values.kafka.bootstrapServers }}{{ $ports = append $ports (splitList ":" . | last | int) }}{{ end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{/* Those of Redis, by the login of a component. Takes (list root component). */}}
{{- define "neardup.redisPorts" -}}
{{- $url := get (include "neardup.redis" . | fromJson) "url" }}
{{- $sentinel := contains "+sentinel:" $url }}
{{- $ports := $sentinel | ternary (list 6379) list }}
{{- range regexReplaceAll "^[a-z+]+://([^@]*@)?([^/?]*).*$" $url "${2}" | splitList "," }}
{{- $ports = append $ports (contains ":" . | ternary (splitList ":" . | last | int) (ternary 26379 6379 $sentinel)) }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}
