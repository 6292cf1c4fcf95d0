-- 国家平台数据上报前置库 / Front-end exchange database of the national platform (up_pro_*, lengths and NOT NULL as prescribed).
-- The collector reads rows and takes them away (DELETE); what it refuses comes back in up_reject.
-- Every row: row_guid 记录唯一标识, data_source, cd_operation 同步类型 (I/U/D), cd_time 同步时间 (Beijing time), cd_batch 批次号.

CREATE TABLE IF NOT EXISTS up_pro_accept (            -- 办件受理信息
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_guid varchar(50) NOT NULL,
    data_source varchar(3) NOT NULL,
    cd_operation varchar(2) NOT NULL,
    cd_time timestamp NOT NULL,
    cd_batch varchar(32) NOT NULL,
    project_no varchar(50) NOT NULL,                  -- 办件编号
    project_name varchar(1000),                       -- 办理摘要
    task_code varchar(36) NOT NULL,                   -- 实施编码
    task_handle_item varchar(50),                     -- 业务办理项编码
    catalog_code varchar(12) NOT NULL,                -- 基本编码
    local_task_code varchar(50),
    local_catalog_code varchar(50),
    task_name varchar(1000) NOT NULL,
    task_version integer NOT NULL,
    apply_type varchar(2) NOT NULL,                   -- 申请类型
    applyer_name varchar(100) NOT NULL,
    applyer_type varchar(2) NOT NULL,
    applyer_page_type varchar(70) NOT NULL,           -- 证件类型
    applyer_page_code varchar(500) NOT NULL,          -- 证件号码
    contact_name varchar(100),
    contact_type varchar(6),
    contact_code varchar(50),
    contact_mobile varchar(11),
    legal varchar(100),
    address varchar(1000),
    zip_code varchar(6),
    apply_date timestamp NOT NULL,
    accept_date timestamp NOT NULL,
    accept_doc_no varchar(50),                        -- 受理文书编号
    org_code varchar(64) NOT NULL,                    -- 受理部门编码
    org_name varchar(100) NOT NULL,
    handle_user_name varchar(100),                    -- 受理人员
    project_type varchar(2) NOT NULL,                 -- 办理类型
    promise_date timestamp,                           -- 承诺办结时间
    UNIQUE (row_guid, cd_time)
);

CREATE TABLE IF NOT EXISTS up_pro_process (           -- 办件过程信息
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_guid varchar(50) NOT NULL,
    data_source varchar(3) NOT NULL,
    cd_operation varchar(2) NOT NULL,
    cd_time timestamp NOT NULL,
    cd_batch varchar(32) NOT NULL,
    project_no varchar(50) NOT NULL,
    process_name varchar(1000) NOT NULL,              -- 办理环节名称
    event_name varchar(2) NOT NULL,                   -- 业务动作
    event_start_time timestamp NOT NULL,
    event_end_time timestamp NOT NULL,
    handle_user_name varchar(100) NOT NULL,
    handle_explain varchar(2000) NOT NULL,            -- 办理意见
    remark varchar(256),
    UNIQUE (row_guid, cd_time)
);

CREATE TABLE IF NOT EXISTS up_pro_result (            -- 办件结果信息
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_guid varchar(50) NOT NULL,
    data_source varchar(3) NOT NULL,
    cd_operation varchar(2) NOT NULL,
    cd_time timestamp NOT NULL,
    cd_batch varchar(32) NOT NULL,
    project_no varchar(50) NOT NULL,
    result_type varchar(2) NOT NULL,                  -- 办结结果
    result_date timestamp NOT NULL,
    result_explain varchar(2000),
    result_cetr_name varchar(256),                    -- (the prescribed spelling)
    result_cetr_no varchar(2000),
    is_delivery_results varchar(2) NOT NULL,
    handle_user_name varchar(100),
    satisfaction varchar(2),
    remark varchar(256),
    UNIQUE (row_guid, cd_time)
);

CREATE TABLE IF NOT EXISTS up_pro_special_procedure ( -- 特别程序
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_guid varchar(50) NOT NULL,
    data_source varchar(3) NOT NULL,
    cd_operation varchar(2) NOT NULL,
    cd_time timestamp NOT NULL,
    cd_batch varchar(32) NOT NULL,
    project_no varchar(50) NOT NULL,
    special_type varchar(2) NOT NULL,
    special_name varchar(1000) NOT NULL,
    special_time timestamp NOT NULL,
    special_reason varchar(2000) NOT NULL,
    applyer_user_name varchar(100),
    end_time timestamp NOT NULL,
    result varchar(2000),
    special_explain varchar(2000),
    handle_user varchar(100),
    remark varchar(256),
    UNIQUE (row_guid, cd_time)
);

CREATE TABLE IF NOT EXISTS up_pro_material (          -- 材料目录
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_guid varchar(50) NOT NULL,
    data_source varchar(3) NOT NULL,
    cd_operation varchar(2) NOT NULL,
    cd_time timestamp NOT NULL,
    cd_batch varchar(32) NOT NULL,
    project_no varchar(50) NOT NULL,
    material_name varchar(200) NOT NULL,
    get_type varchar(2) NOT NULL,                     -- 收取方式
    get_num varchar(5),
    material_attach_name varchar(200),
    remark varchar(1000),
    UNIQUE (row_guid, cd_time)
);

-- 退回清单 / What the nation refused after it had collected it. read_at is the hub's mark.
CREATE TABLE IF NOT EXISTS up_reject (
    reject_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name varchar(64) NOT NULL,
    row_guid varchar(50) NOT NULL,
    batch varchar(32) NOT NULL,                       -- cd_batch of the refused row
    reason varchar(2000) NOT NULL,
    rejected_at timestamp NOT NULL,                   -- Beijing time
    read_at timestamptz
);
CREATE INDEX IF NOT EXISTS up_reject_unread ON up_reject (reject_id) WHERE read_at IS NULL;

-- The hub's own, in the same database so that they share the rows' transaction (R30).
CREATE TABLE IF NOT EXISTS hub_sent_book (            -- one line per dispatch ever written
    dispatch_id varchar(32) PRIMARY KEY,
    message_id varchar(32) NOT NULL,
    case_no varchar(50) NOT NULL,
    kind varchar(100) NOT NULL,
    rows_written integer NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS hub_sent_row (             -- the last state of every row_guid: rows themselves are taken away
    row_guid varchar(50) PRIMARY KEY,
    table_name varchar(64) NOT NULL,
    project_no varchar(50) NOT NULL,
    dispatch_id varchar(32) NOT NULL,
    message_id varchar(32) NOT NULL,
    cd_time timestamp NOT NULL
);

CREATE TABLE IF NOT EXISTS hub_case_card (            -- what later rows need of a case's earlier messages
    case_no varchar(50) PRIMARY KEY,
    card jsonb NOT NULL
);
