{{/* What values.schema.json cannot say: one list of everything that is wrong. Each message says
     what was expected, what was found and what to do. */}}

{{- define "tramontane.checks" -}}
{{- $faults := dict "list" list -}}
{{- range $check := list "checkModel" "checkShards" "checkNames" "checkRoles" "checkUpdates" "checkService" "checkDevices" "checkFlags" "checkTls" "checkAutoscaling" "checkObservers" -}}
  {{- $found := include (printf "tramontane.%s" $check) $ | trim -}}
  {{- if $found }}{{ $_ := set $faults "list" (concat $faults.list (splitList "\n" $found)) }}{{ end -}}
{{- end -}}
{{- $lines := list -}}
{{- range $faults.list }}{{ with trim . }}{{ $lines = append $lines (printf "- %s" .) }}{{ end }}{{ end -}}
{{- with $lines -}}
{{- fail (printf "\n\nThese values cannot work:\n%s\n" (join "\n" .)) -}}
{{- end -}}
{{- end -}}

{{- define "tramontane.checkModel" -}}
{{- $given := include "tramontane.modelSources" . -}}
{{- if eq $given "" }}
model: expected where the checkpoint is, found nothing; set one of model.pvc.claimName, model.hostPath.path, model.image.reference, model.init.containers
{{- else if contains " " $given }}
model: expected one source, found {{ $given | replace " " " and " }}; keep one of them
{{- end -}}
{{- if and .Values.model.image.reference (semverCompare "<1.31.0-0" .Capabilities.KubeVersion.Version) }}
model.image: expected Kubernetes 1.31 or later with the feature gate ImageVolume, found {{ .Capabilities.KubeVersion.Version }}; use model.pvc or model.init
{{- end -}}
{{- range .Values.model.init.containers }}
{{- range .volumeMounts }}
{{- if eq .mountPath "/model" }}
model.init.containers: expected no mount at /model, found one; the chart mounts the model's volume there
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Names become names of objects and of pods. */}}
{{- define "tramontane.checkNames" -}}
{{- $name := include "tramontane.fullname" . -}}
{{- if gt (len $name) 47 }}
fullnameOverride: expected at most 47 characters, so that "NAME-coordinator" and its pods can be named; found "{{ $name }}" of {{ len $name }}; set fullnameOverride or a shorter release name
{{- end -}}
{{- $seen := dict -}}
{{- range .Values.expertWorkers.shards -}}
  {{- $workload := include "tramontane.workload" (dict "root" $ "component" "expert-worker" "shard" .name) -}}
  {{- if gt (len $workload) 52 }}
expertWorkers.shards: expected "{{ $workload }}" of at most 52 characters, which is what a StatefulSet leaves for its pods; found {{ len $workload }}; shorten the shard's name, or set fullnameOverride
  {{- end -}}
  {{- if hasKey $seen .name }}
expertWorkers.shards: expected each name once, found "{{ .name }}" twice; rename one, or raise `replicas` of the other if they are to be the same
  {{- end -}}
  {{- $_ := set $seen .name true -}}
{{- end -}}
{{- end -}}

{{- define "tramontane.checkRoles" -}}
{{- $roles := list (dict "path" "coordinator" "settings" .Values.coordinator) -}}
{{- if eq "true" (include "tramontane.hasAttentionWorkers" .) -}}
  {{- $roles = append $roles (dict "path" "attentionWorkers" "settings" .Values.attentionWorkers) -}}
  {{- if ne 1 (int .Values.coordinator.replicas) }}
coordinator.replicas: expected 1 beside attention workers, which work for one coordinator at a time; found {{ include "tramontane.scalar" .Values.coordinator.replicas }} with attentionWorkers.replicas {{ include "tramontane.scalar" .Values.attentionWorkers.replicas }}; set coordinator.replicas to 1, or attentionWorkers.replicas to 0
  {{- end -}}
{{- end -}}
{{- range .Values.expertWorkers.shards -}}
  {{- $settings := include "tramontane.shard" (dict "root" $ "shard" .) | fromJson -}}
  {{- $roles = append $roles (dict "path" (printf "expertWorkers.shards[%s]" .name) "settings" $settings) -}}
{{- end -}}
{{- range $role := $roles -}}
  {{- $drain := $role.settings.drain -}}
  {{- if not (kindIs "invalid" $drain.gracePeriodSeconds) -}}
    {{- $margin := include "tramontane.exitMargin" $ | int -}}
    {{- $needed := add (int $drain.preStopSeconds) (int (ceil $drain.timeoutSeconds)) $margin -}}
    {{- if lt (int $drain.gracePeriodSeconds) (int $needed) }}
{{ $role.path }}.drain.gracePeriodSeconds: expected at least {{ $needed }} (preStopSeconds {{ int $drain.preStopSeconds }} + timeoutSeconds {{ include "tramontane.scalar" $drain.timeoutSeconds }} + {{ $margin }} to exit), found {{ int $drain.gracePeriodSeconds }}, after which the process is killed while it drains; raise it, lower the others, or leave it null
    {{- end -}}
  {{- end -}}
{{- include "tramontane.checkDevice" $role }}
{{- include "tramontane.checkVolumes" (set $role "init" $.Values.model.init.volumes) }}
{{- end -}}
{{- end -}}

{{/* dict "path" "coordinator" "settings" SETTINGS "init" VOLUMES */}}
{{- define "tramontane.checkVolumes" -}}
{{- $used := list "model" "tmp" "tls" "api-tls" "api-client-ca" "api-tokens" -}}
{{- range $volume := concat (default list .init) (default list .settings.extraVolumes) -}}
{{- if has $volume.name $used }}
{{ $.path }}.extraVolumes: expected names that neither the chart nor model.init.volumes use, found {{ $volume.name }}; choose another
{{- end -}}
{{- $used = append $used $volume.name -}}
{{- end -}}
{{- range .settings.extraVolumeMounts -}}
{{- if or (hasPrefix "/model/" (printf "%s/" .mountPath)) (hasPrefix "/etc/tramontane/" (printf "%s/" .mountPath)) }}
{{ $.path }}.extraVolumeMounts: expected paths outside /model and /etc/tramontane, where the chart's volumes are, found {{ .mountPath }}; choose another
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether an update of the coordinators can begin, and end. */}}
{{- define "tramontane.checkUpdates" -}}
{{- if eq (include "tramontane.coordinatorUpdate" .) "RollingUpdate" -}}
{{- if eq "true" (include "tramontane.hasAttentionWorkers" .) }}
coordinator.updateStrategy.type: expected Recreate beside attention workers, which work for one coordinator at a time; found RollingUpdate with attentionWorkers.replicas {{ include "tramontane.scalar" .Values.attentionWorkers.replicas }}; set it to Recreate, or leave it empty
{{- end -}}
{{- $numbers := default dict .Values.coordinator.updateStrategy.rollingUpdate -}}
{{- $unavailable := toString (default 0 $numbers.maxUnavailable) -}}
{{- $surge := toString (default 0 $numbers.maxSurge) -}}
{{- if and (has $unavailable (list "0" "0%")) (has $surge (list "0" "0%")) }}
coordinator.updateStrategy.rollingUpdate: expected maxUnavailable or maxSurge above 0, found {{ $unavailable }} and {{ $surge }}, so that no update can begin; raise maxSurge, or maxUnavailable where there is no room for one more
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Flags that the chart sets itself, wherever it does. */}}
{{- define "tramontane.checkFlags" -}}
{{- $owned := dict "model" "model" "model_name" "model.name" "compute" "model.compute" "listen" "listenHost" "health_listen" "listenHost" "metrics_listen" "listenHost" "allow_plaintext_beyond_loopback" "tls" "drain_timeout_s" "drain.timeoutSeconds" "cpu_isa" "cpuIsa" "device" "device" "allow_mixed_backends" "attention.allowMixedBackends" "threads" "threads" "tls_cert" "tls" "tls_key" "tls" "tls_ca" "tls" "worker_tls_name" "tls.names" "allowed_peers" "tls.extraAllowedPeers" "kv_cache_tokens" "attention.kvCacheTokens" "kv_block_size" "attention.kvBlockSize" "max_step_tokens" "attention.maxStepTokens" "expert_wait_timeout_ms" "attention.expertWaitTimeoutMs" "hedge_after" "attention.hedgeAfter" "expert_workers" "expertWorkers.shards" "attention_workers" "attentionWorkers.replicas" "experts" "experts" "api_tls_cert" "api.tls" "api_tls_key" "api.tls" "api_client_ca" "api.tls" "api_plaintext" "api.tls" "api_tokens_file" "api.tokensSecret" -}}
{{- $maps := dict "coordinator" .Values.coordinator.extraFlags "attentionWorkers" .Values.attentionWorkers.extraFlags "expertWorkers" .Values.expertWorkers.extraFlags -}}
{{- range .Values.expertWorkers.shards -}}
  {{- $_ := set $maps (printf "expertWorkers.shards[%s]" .name) (default dict .extraFlags) -}}
{{- end -}}
{{- range $path, $flags := $maps -}}
  {{- range $name, $_ := $flags -}}
    {{- if hasKey $owned $name }}
{{ $path }}.extraFlags: expected flags that the chart does not set, found {{ $name }}; use the value `{{ get $owned $name }}`
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "tramontane.checkObservers" -}}
{{- if and .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled }}
monitoring: expected podMonitor or serviceMonitor, found both, which would count everything twice; enable one
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
ingress.hosts: expected a host or more with ingress.enabled, found none; name the hosts by which clients call
{{- end -}}
{{- if and .Values.grpcRoute.enabled (not .Values.grpcRoute.parentRefs) }}
grpcRoute.parentRefs: expected a Gateway or more with grpcRoute.enabled, found none; name the Gateway that serves the route
{{- end -}}
{{- end -}}
