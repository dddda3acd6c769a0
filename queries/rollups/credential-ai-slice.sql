-- ---
-- id = "credential-ai-slice"
-- version = 1
-- title = "What a credential did with AI services: one network, one quarter of an hour"
-- bucket = "slice"
-- bucket_seconds = 900
-- subject = "credential"
-- retention_days = 2
-- ---
-- Calls to AI services, agreements for models, and all that a user does whom AWS made for a Bedrock API key.
-- `actions` has a bit for each of the 14 actions of a published rule; which, and what calls that only the console
-- makes, is said in llmjacking.sql. Converse and CreateInference are what InvokeModel is called today, ListModels is
-- bedrock-mantle's ListFoundationModels. People in the console touch many actions: those count for long-lived
-- keys only.
SELECT
    date_bin(INTERVAL '15 minutes', event_time) AS slice,
    credential,
    coalesce(network, 'unknown') AS network,
    count(*) FILTER (WHERE ai_operation = 'invoke') AS invokes,
    count(*) FILTER (WHERE ai_operation = 'invoke' AND outcome IN ('denied', 'rejected')) AS refused,
    min(event_time) FILTER (WHERE ai_operation = 'invoke') AS first_invoke,
    min(event_time) FILTER (WHERE ai_operation = 'invoke' AND outcome = 'success') AS first_answer,
    max(event_time) FILTER (WHERE ai_operation = 'invoke' AND outcome = 'success') AS last_answer,
    min(event_time) FILTER (WHERE ai_operation = 'list' AND (
        action LIKE '%:List%' OR action LIKE '%.List%' OR route LIKE '%/models%'
    )) AS first_list,
    max(event_time) FILTER (WHERE ai_operation = 'list' AND (
        action LIKE '%:List%' OR action LIKE '%.List%' OR route LIKE '%/models%'
    )) AS last_list,
    bit_or(CASE split_part(action, ':', 2)
        WHEN 'PutUseCaseForModelAccess' THEN 1
        WHEN 'PutFoundationModelEntitlement' THEN 2
        WHEN 'PutModelInvocationLoggingConfiguration' THEN 4
        WHEN 'CreateFoundationModelAgreement' THEN 8
        WHEN 'InvokeModel' THEN 16
        WHEN 'Converse' THEN 16
        WHEN 'CreateInference' THEN 16
        WHEN 'InvokeModelWithResponseStream' THEN 32
        WHEN 'ConverseStream' THEN 32
        WHEN 'GetUseCaseForModelAccess' THEN 64
        WHEN 'GetModelInvocationLoggingConfiguration' THEN 128
        WHEN 'GetFoundationModelAvailability' THEN 256
        WHEN 'ListFoundationModelAgreementOffers' THEN 512
        WHEN 'ListFoundationModels' THEN 1024
        WHEN 'ListModels' THEN 1024
        WHEN 'ListProvisionedModelThroughputs' THEN 2048
        WHEN 'SearchAgreements' THEN 4096
        WHEN 'AcceptAgreementRequest' THEN 8192
        ELSE 0
    END) FILTER (WHERE credential_kind IN ('static_key', 'api_token') OR (
        strpos(coalesce(flow, ''), 'console') = 0 AND coalesce(client_family, '') NOT IN ('browser', 'console')
    )) AS actions,
    count(*) FILTER (WHERE action LIKE 'bedrock%' AND credential_kind IN ('static_key', 'api_token')
        AND split_part(action, ':', 2) IN (
            'GetFoundationModelAvailability', 'PutUseCaseForModelAccess', 'GetUseCaseForModelAccess',
            'CreateFoundationModelAgreement', 'DeleteFoundationModelAgreement', 'PutFoundationModelEntitlement',
            'ListFoundationModelAgreementOffers'
        )) AS console_only,
    count(*) FILTER (WHERE principal LIKE '%:user/BedrockAPIKey-%' AND action NOT LIKE 'bedrock%') AS elsewhere,
    count(*) FILTER (WHERE action LIKE 'bedrock%:DeleteModelInvocationLoggingConfiguration'
        AND outcome = 'success') AS logging_off,
    bool_or(action LIKE 'bedrock%' OR principal LIKE '%:user/BedrockAPIKey-%') AS is_aws,
    max(ai_provider) AS ai_provider,
    max(credential_kind) AS credential_kind,
    max(credential_label) AS label,
    max(pilot) AS pilot,
    max(caller_team) AS team,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE credential IS NOT NULL
  AND principal_kind <> 'aws_service'
  AND (ai_provider IS NOT NULL
      OR principal LIKE '%:user/BedrockAPIKey-%'
      OR action LIKE '%:SearchAgreements'
      OR action LIKE '%:AcceptAgreementRequest')
GROUP BY 1, 2, 3
