{{/* Expert shards: their settings, and which (layer, expert) each has. */}}

{{/* A shard's settings: its own keys over those of expertWorkers. dict "root" $ "shard" SHARD.
     Maps that name things one by one are merged; others, such as resources, are replaced. */}}
{{- define "tramontane.shard" -}}
{{- $merged := deepCopy (omit .root.Values.expertWorkers "shards") -}}
{{- $joined := list "autoscaling" "drain" "extraFlags" "image" "podAnnotations" "podDisruptionBudget" "podLabels" "spread" "updateStrategy" -}}
{{- range $key, $value := .shard -}}
  {{- if has $key $joined -}}
    {{- $_ := set $merged $key (mergeOverwrite (default dict (get $merged $key)) (deepCopy $value)) -}}
  {{- else if or (not (kindIs "invalid" $value)) (eq $key "replicas") -}}
    {{- $_ := set $merged $key $value -}}
  {{- end -}}
{{- end -}}
{{- toJson $merged -}}
{{- end -}}

{{/* A number of the values, which may have come as a float, as an integer. */}}
{{- define "tramontane.scalar" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end -}}

{{/* "0-3,5" as a JSON list of its parts: [{"text": "0-3", "first": 0, "last": 3}, …]. */}}
{{- define "tramontane.parts" -}}
{{- $parts := list -}}
{{- range splitList "," . -}}
  {{- $ends := splitList "-" . -}}
  {{- $parts = append $parts (dict "text" . "first" (first $ends | atoi) "last" (last $ends | atoi)) -}}
{{- end -}}
{{- toJson $parts -}}
{{- end -}}

{{/* A shard's layers as text; empty: all. */}}
{{- define "tramontane.layersText" -}}
{{- if not (kindIs "invalid" .layers) -}}{{ include "tramontane.scalar" .layers }}{{- end -}}
{{- end -}}

{{/* A shard's experts as ranges; "all" is written out. dict "root" $ "shard" SHARD. */}}
{{- define "tramontane.expertsText" -}}
{{- $experts := include "tramontane.scalar" .shard.experts -}}
{{- if eq $experts "all" -}}
0-{{ sub (int .root.Values.model.numExperts) 1 }}
{{- else -}}
{{ $experts }}
{{- end -}}
{{- end -}}

{{/* The value of --experts. dict "root" $ "shard" SHARD. */}}
{{- define "tramontane.expertsFlag" -}}
{{- $layers := include "tramontane.layersText" .shard -}}
{{- if eq $layers "" -}}
{{- include "tramontane.scalar" .shard.experts -}}
{{- else -}}
  {{- $pieces := list -}}
  {{- $experts := include "tramontane.expertsText" . -}}
  {{- range $layer := splitList "," $layers -}}
    {{- range $part := splitList "," $experts -}}
      {{- $pieces = append $pieces (printf "%s:%s" $layer $part) -}}
    {{- end -}}
  {{- end -}}
  {{- join "," $pieces -}}
{{- end -}}
{{- end -}}
