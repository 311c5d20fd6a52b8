{{/* Whether the shards cover each expert of each layer, and name none that is not there. */}}

{{/* dict "path" "…experts" "text" "0-3,5" "count" 8 "what" "expert" */}}
{{- define "tramontane.checkParts" -}}
{{- $seen := dict -}}
{{- range include "tramontane.parts" .text | fromJsonArray -}}
  {{- if gt (int .first) (int .last) }}
{{ $.path }}: expected ranges like 0-3, found "{{ .text }}", which ends before it begins; swap its ends
  {{- else if ge (int .last) (int $.count) }}
{{ $.path }}: expected {{ $.what }}s 0 to {{ sub (int $.count) 1 }}, found "{{ .text }}"; correct it, or model.{{ $.limit }} if the checkpoint has more
  {{- else -}}
    {{- range $id := untilStep (int .first) (add1 (int .last) | int) 1 -}}
      {{- if hasKey $seen (toString $id) }}
{{ $.path }}: expected each {{ $.what }} once, found {{ $id }} twice in "{{ $.text }}"; name it once
      {{- end -}}
      {{- $_ := set $seen (toString $id) true -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* The layers that a shard has, as a JSON list. dict "root" $ "shard" SHARD */}}
{{- define "tramontane.ids" -}}
{{- $ids := list -}}
{{- range include "tramontane.parts" .text | fromJsonArray -}}
  {{- range $id := untilStep (int .first) (min (int .last) (sub (int $.count) 1) | add1 | int) 1 -}}
    {{- $ids = append $ids $id -}}
  {{- end -}}
{{- end -}}
{{- toJson $ids -}}
{{- end -}}

{{- define "tramontane.checkShards" -}}
{{- $layers := int .Values.model.numLayers -}}
{{- $experts := int .Values.model.numExperts -}}
{{- $covered := dict -}}
{{- range .Values.expertWorkers.shards -}}
  {{- $shard := include "tramontane.shard" (dict "root" $ "shard" .) | fromJson -}}
  {{- $path := printf "expertWorkers.shards[%s]" .name -}}
  {{- $expertsText := include "tramontane.expertsText" (dict "root" $ "shard" $shard) -}}
  {{- $layersText := default (printf "0-%d" (sub $layers 1)) (include "tramontane.layersText" $shard) -}}
  {{- include "tramontane.checkParts" (dict "path" (printf "%s.experts" $path) "text" $expertsText "count" $experts "what" "expert" "limit" "numExperts") }}
  {{- include "tramontane.checkParts" (dict "path" (printf "%s.layers" $path) "text" $layersText "count" $layers "what" "layer" "limit" "numLayers") }}
  {{- $replicas := ternary $shard.autoscaling.minReplicas $shard.replicas (default false $shard.autoscaling.enabled) -}}
  {{- if or (kindIs "invalid" $replicas) (gt (int $replicas) 0) -}}
    {{- $expertIds := include "tramontane.ids" (dict "text" $expertsText "count" $experts) | fromJsonArray -}}
    {{- range $layer := include "tramontane.ids" (dict "text" $layersText "count" $layers) | fromJsonArray -}}
      {{- range $expert := $expertIds -}}
        {{- $_ := set $covered (printf "%v/%v" $layer $expert) true -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $missing := list -}}
{{- range $layer := until $layers -}}
  {{- range $expert := until $experts -}}
    {{- if not (hasKey $covered (printf "%v/%v" $layer $expert)) -}}
      {{- $missing = append $missing (printf "expert %d of layer %d" $expert $layer) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- with $missing }}
expertWorkers.shards: expected every expert of every layer ({{ $experts }} of {{ $layers }} layers) in a shard with replicas, found {{ len . }} in none: {{ slice . 0 (min 3 (len .)) | join ", " }}{{ if gt (len .) 3 }}, …{{ end }}; add them to a shard, or correct model.numExperts and model.numLayers
{{- end -}}
{{- end -}}
