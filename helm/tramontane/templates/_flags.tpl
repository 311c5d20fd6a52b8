{{/* What each process is started with. Lists of strings, one a line. A test holds every flag
     against the program: those of tramontane.processFlags against all three. */}}

{{/* dict "root" $ "component" "coordinator" "settings" SETTINGS */}}
{{- define "tramontane.processFlags" -}}
{{- $host := .root.Values.listenHost }}
- --model={{ include "tramontane.modelDirectory" .root }}
- --compute={{ .root.Values.model.compute }}
- --listen={{ $host }}:{{ include "tramontane.rpcPort" . }}
- --health_listen={{ $host }}:{{ include "tramontane.healthPort" . }}
- --metrics_listen={{ $host }}:{{ include "tramontane.metricsPort" . }}
- --allow_plaintext_beyond_loopback
- --drain_timeout_s={{ include "tramontane.scalar" .settings.drain.timeoutSeconds }}
{{- with .root.Values.cpuIsa }}
- --cpu_isa={{ . }}
{{- end }}
{{- with include "tramontane.device" .settings }}
- --device={{ . }}
{{- end }}
{{- if not (kindIs "invalid" .settings.threads) }}
- --threads={{ include "tramontane.scalar" .settings.threads }}
{{- end }}
{{- if .root.Values.tls.enabled }}
- --tls_cert=/etc/tramontane/tls/tls.crt
- --tls_key=/etc/tramontane/tls/tls.key
- --tls_ca=/etc/tramontane/tls/ca.crt
{{- end }}
{{- end -}}

{{- define "tramontane.extraFlags" -}}
{{- range $name, $value := .settings.extraFlags }}
- {{ printf "--%s=%s" $name (include "tramontane.scalar" $value) | quote }}
{{- end }}
{{- end -}}

{{/* Of the process that runs attention. $ */}}
{{- define "tramontane.attentionFlags" -}}
{{- with .Values.attention }}
{{- if not (kindIs "invalid" .kvCacheTokens) }}
- --kv_cache_tokens={{ include "tramontane.scalar" .kvCacheTokens }}
{{- end }}
{{- if not (kindIs "invalid" .expertWaitTimeoutMs) }}
- --expert_wait_timeout_ms={{ include "tramontane.scalar" .expertWaitTimeoutMs }}
{{- end }}
{{- if not (kindIs "invalid" .hedgeAfter) }}
- --hedge_after={{ include "tramontane.scalar" .hedgeAfter }}
{{- end }}
{{- if .allowMixedBackends }}
- --allow_mixed_backends
{{- end }}
{{- end }}
- --expert_workers={{ include "tramontane.allExperts" . }}:{{ include "tramontane.workerPort" . }}
{{- if .Values.tls.enabled }}
- --worker_tls_name={{ include "tramontane.tlsName" (dict "root" . "component" "expert-worker") }}
{{- end }}
{{- end -}}

{{/* Of the coordinator and of attention workers. $ */}}
{{- define "tramontane.stepFlags" -}}
{{- with .Values.model.name }}
- {{ printf "--model_name=%s" . | quote }}
{{- end }}
{{- with .Values.attention }}
{{- if not (kindIs "invalid" .kvBlockSize) }}
- --kv_block_size={{ include "tramontane.scalar" .kvBlockSize }}
{{- end }}
{{- if not (kindIs "invalid" .maxStepTokens) }}
- --max_step_tokens={{ include "tramontane.scalar" .maxStepTokens }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "tramontane.coordinatorFlags" -}}
{{- include "tramontane.processFlags" . }}
{{- include "tramontane.stepFlags" .root }}
{{- if eq "true" (include "tramontane.hasAttentionWorkers" .root) }}
- --attention_workers={{ include "tramontane.workload" (dict "root" .root "component" "attention-worker") }}:{{ include "tramontane.workerPort" . }}
{{- if .root.Values.tls.enabled }}
- --worker_tls_name={{ include "tramontane.tlsName" (dict "root" .root "component" "attention-worker") }}
{{- end }}
{{- else }}
{{- include "tramontane.attentionFlags" .root }}
{{- end }}
{{- with .root.Values.api }}
{{- if .tls.secretName }}
- --api_tls_cert=/etc/tramontane/api-tls/tls.crt
- --api_tls_key=/etc/tramontane/api-tls/tls.key
{{- end }}
{{- if .tls.clientCaSecret }}
- --api_client_ca=/etc/tramontane/api-client-ca/ca.crt
{{- end }}
{{- if .tls.plaintext }}
- --api_plaintext
{{- end }}
{{- if .tokensSecret.name }}
- --api_tokens_file=/etc/tramontane/api-tokens/tokens
{{- end }}
{{- end }}
{{- include "tramontane.extraFlags" . }}
{{- end -}}

{{- define "tramontane.attentionWorkerFlags" -}}
{{- include "tramontane.processFlags" . }}
{{- include "tramontane.stepFlags" .root }}
{{- include "tramontane.attentionFlags" .root }}
{{- if .root.Values.tls.enabled }}
- --allowed_peers={{ include "tramontane.allowedPeers" . }}
{{- end }}
{{- include "tramontane.extraFlags" . }}
{{- end -}}

{{- define "tramontane.expertWorkerFlags" -}}
{{- include "tramontane.processFlags" . }}
- --experts={{ include "tramontane.expertsFlag" (dict "root" .root "shard" .settings) }}
{{- if .root.Values.tls.enabled }}
- --allowed_peers={{ include "tramontane.allowedPeers" . }}
{{- end }}
{{- include "tramontane.extraFlags" . }}
{{- end -}}
