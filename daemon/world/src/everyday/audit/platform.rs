//! The cluster and Vault: controllers, pods, builds, and people under their own names.

use crate::company::{PRODUCTION, Person, Workload};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::everyday::pace;
use crate::formats::kubernetes::{
    CLIENT_GO, CLIENT_JAVA, KUBECTL_MAC, KUBECTL_WINDOWS, KubernetesCall, KubernetesUse, KubernetesUser,
};
use crate::formats::vault::{VaultCall, VaultMethod, VaultToken, VaultUse};
use crate::pattern::Pattern;
use crate::place::Place;
use crate::template::Alphabet;

/// Role that opens the cluster to people of AWS.
const OPERATOR: &str = "cluster-operator";

pub(super) fn add(draft: &mut Draft) {
    add_controllers(draft);
    for service in draft.company.services.clone() {
        add_pod(draft, &service);
        add_tokens(draft, &service);
    }
    for person in draft.company.people.clone() {
        if person.number.is_multiple_of(2) {
            add_kubectl(draft, &person);
        }
        if person.number % 3 != 1 {
            add_secrets(draft, &person);
        }
    }
    for (index, team) in (0..).zip(draft.company.teams.clone()) {
        let act = VaultUse {
            method: VaultMethod::Jwt(format!("{team}-build")),
            token: VaultToken::Replaced(1),
            calls: vec![
                VaultCall::new("read", format!("secret/data/{team}/build"), "kv"),
                VaultCall::new("update", format!("pki/issue/{team}"), "pki"),
            ],
        };
        draft.vault(&format!("{team} build"), Pattern::Office(0.8), Place::Ci(index), &act);
    }
}

/// Parts of the cluster, deployment by Git, a portal in which people look at their pods.
fn add_controllers(draft: &mut Draft) {
    let team = draft.company.teams[0].clone();
    let lease = KubernetesCall::new("update", "leases", "kube-system");
    let service_account = |namespace: &str, name: &str| KubernetesUser::ServiceAccount {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let parts = [
        (
            KubernetesUser::Component("system:kube-scheduler"),
            "kube-scheduler/v1.31.2 (linux/amd64) kubernetes/5864a46/leader-election",
            vec![lease.clone()],
        ),
        (
            KubernetesUser::Component("system:kube-controller-manager"),
            "kube-controller-manager/v1.31.2 (linux/amd64) kubernetes/5864a46/leader-election",
            vec![lease.clone(), KubernetesCall::new("watch", "endpointslices", &team)],
        ),
        (
            service_account("kube-system", "deployment-controller"),
            "kube-controller-manager/v1.31.2 (linux/amd64) kubernetes/5864a46/system:serviceaccount:kube-system:deployment-controller",
            vec![KubernetesCall::new("update", "deployments", &team).of("status")],
        ),
        (
            service_account("argocd", "argocd-application-controller"),
            "argocd-application-controller/v2.12.6 (linux/amd64) kubernetes/$Format",
            vec![
                KubernetesCall::new("patch", "deployments", &team),
                KubernetesCall::new("get", "applications", "argocd"),
            ],
        ),
    ];
    let rate = 0.08 * draft.company.services.len() as f64 * pace(draft);
    for (index, (user, client, calls)) in (0..).zip(parts) {
        let act = KubernetesUse { user, acts_for: None, client, calls };
        draft.kubernetes(client, Pattern::Steady(rate), Place::Pod(39_000 + index), &act);
    }
    for person in draft.company.people.clone().iter().step_by(8) {
        let act = KubernetesUse {
            user: service_account("portal", "pods-view"),
            acts_for: Some(person.email.clone()),
            client: CLIENT_GO,
            calls: vec![KubernetesCall::new("list", "pods", &person.team)],
        };
        let name = format!("portal for {}", person.id);
        draft.kubernetes(&name, Pattern::Sittings(0.05, 3), Place::Pod(39_100), &act).by(&person.clock);
    }
}

/// A service's pods ask for their own settings; every fifth may not read what it asks for.
fn add_pod(draft: &mut Draft, service: &Workload) {
    let namespace = service.team.as_str();
    let mut calls = vec![
        KubernetesCall::new("get", "configmaps", namespace),
        KubernetesCall::new("watch", "endpointslices", namespace),
        KubernetesCall::new("create", "events", namespace),
    ];
    if service.number.is_multiple_of(5) {
        calls.push(KubernetesCall::new("get", "secrets", namespace).forbidden());
    }
    let act = KubernetesUse {
        user: KubernetesUser::ServiceAccount { namespace: namespace.to_owned(), name: service.name.clone() },
        acts_for: None,
        client: if service.number.is_multiple_of(2) { CLIENT_GO } else { CLIENT_JAVA },
        calls,
    };
    let rate = Pattern::Steady(0.35 * pace(draft));
    draft.kubernetes(&service.name, rate, service.pod(), &act);
}

/// By email through the company's sign-in or, who operates, with a role session of AWS.
fn add_kubectl(draft: &mut Draft, person: &Person) {
    let user = if person.number.is_multiple_of(8) {
        KubernetesUser::Session { account: PRODUCTION, role: OPERATOR, session: person.email.clone() }
    } else {
        KubernetesUser::Person(person.email.clone())
    };
    let team = person.team.as_str();
    let mut calls = vec![
        KubernetesCall::new("list", "pods", team),
        KubernetesCall::new("get", "pods", team).of("log"),
        KubernetesCall::new("get", "deployments", team),
    ];
    if person.number.is_multiple_of(6) {
        calls.push(KubernetesCall::new("create", "pods", team).of("exec"));
        calls.push(KubernetesCall::new("create", "pods", team).of("portforward"));
    }
    let client = if person.number.is_multiple_of(3) { KUBECTL_MAC } else { KUBECTL_WINDOWS };
    let act = KubernetesUse { user, acts_for: None, client, calls };
    let name = format!("{} with kubectl", person.id);
    draft.kubernetes(&name, Pattern::Sittings(0.1, 6), person.laptop(), &act).by(&person.clock);
}

/// Pods get tokens by the hour; a service's nightly job keeps one, by role and secret or made by hand years ago.
fn add_tokens(draft: &mut Draft, service: &Workload) {
    let (name, team, pace) = (&service.name, &service.team, pace(draft));
    let calls = vec![
        VaultCall::new("read", format!("secret/data/{team}/{name}"), "kv"),
        VaultCall::new("read", format!("database/creds/{name}"), "database"),
        VaultCall::new("update", format!("transit/decrypt/{name}"), "transit"),
    ];
    let pod = VaultUse {
        method: VaultMethod::Kubernetes { namespace: team.clone(), name: name.clone() },
        token: VaultToken::Replaced(1),
        calls: calls.clone(),
    };
    draft.vault(name, Pattern::Steady(0.45 * pace), service.pod(), &pod);
    if service.number.is_multiple_of(2) {
        let kept = Dice::of(44, name, 0).id("", Alphabet::Hex, 64);
        let method = if service.number.is_multiple_of(4) {
            VaultMethod::AppRole(format!("{name}-job"))
        } else {
            VaultMethod::Token(format!("{name}-job"))
        };
        let job = VaultUse { method, token: VaultToken::Kept(kept), calls };
        draft.vault(&format!("{name} job"), Pattern::Every(180), Place::Colo(service.number), &job);
    }
}

/// A new token each day, by single sign-on or with the directory's password.
fn add_secrets(draft: &mut Draft, person: &Person) {
    let team = &person.team;
    let mut calls = vec![
        VaultCall::new("read", format!("secret/data/{team}/shared"), "kv"),
        VaultCall::new("list", format!("secret/metadata/{team}"), "kv"),
    ];
    if person.number.is_multiple_of(5) {
        calls.push(VaultCall::new("read", "secret/data/platform/root".to_owned(), "kv").denied());
    }
    let method = if person.number.is_multiple_of(6) {
        VaultMethod::Ldap(person.id.clone())
    } else {
        VaultMethod::Oidc(person.email.clone())
    };
    let act = VaultUse { method, token: VaultToken::Replaced(24), calls };
    let name = format!("{} in Vault", person.id);
    draft.vault(&name, Pattern::Sittings(0.1, 5), person.laptop(), &act).by(&person.clock);
}
