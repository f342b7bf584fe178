//! From an archive's documents to images: which config, which layers, which names. Every digest is checked here.

use std::collections::HashSet;

use super::{
    documents::{DockerImage, Documents, IMAGE_NAME, REF_NAME, blob_path, digest_in_path},
    load::{Blob, Blobs, Loaded, LoadedImage, LoadedLayer, clean_text},
};
use crate::{
    config::ImageFile,
    digest::Digest,
    error::{Error, Result},
    layer::Store,
    manifest::{Descriptor, Document, MEDIA_DOCKER_INDEX, MEDIA_INDEX, MEDIA_MANIFEST},
    platform::Platform,
    reference::Reference,
};

/// Indexes point at indexes at most this deep.
const DEPTH: usize = 4;
/// Descriptors followed in one archive.
const DESCRIPTORS: usize = 10_000;

/// Finds the images, checks them, and commits the layers they need.
pub fn images(documents: &Documents, mut blobs: Blobs, store: &Store, platform: Option<&Platform>) -> Result<Loaded> {
    let (mut images, mut paths) = (Vec::new(), Vec::new());
    for found in plan(documents, &blobs, platform)? {
        let image = check(found, &mut blobs, store.limits().layers, &mut paths)?;
        merge(&mut images, image);
    }
    // Why: two blobs of one layer under different paths would be committed twice; the second is dropped there.
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    let (staged, mut pins) = blobs.take(&paths);
    pins.extend(store.commit(staged)?);
    Ok(Loaded { images, pins })
}

/// One image may stand in an archive once per name.
fn merge(images: &mut Vec<LoadedImage>, image: LoadedImage) {
    match images.iter_mut().find(|other| other.id == image.id) {
        Some(other) => {
            for name in image.names {
                if !other.names.contains(&name) {
                    other.names.push(name);
                }
            }
        }
        None => images.push(image),
    }
}

/// An image as the documents describe it.
struct Plan {
    config: Vec<u8>,
    names: Vec<Reference>,
    layers: Vec<LayerPlan>,
    manifest: Option<(String, String)>,
}

struct LayerPlan {
    path: String,
    /// What the blob's digest must be.
    digest: Option<Digest>,
}

fn plan(documents: &Documents, blobs: &Blobs, platform: Option<&Platform>) -> Result<Vec<Plan>> {
    if documents.contains("manifest.json") {
        let plans = docker_archive(documents, blobs, platform)?;
        if !plans.is_empty() || !documents.contains("index.json") {
            return Ok(plans);
        }
    }
    if documents.contains("index.json") {
        return oci_layout(documents, platform);
    }
    if documents.contains("repositories") {
        return Err(Error::Unsupported("archive: the image format of Docker before 1.10; save the image again".into()));
    }
    Err(Error::Archive("it has neither manifest.json nor index.json, so it is no image archive".into()))
}

fn docker_archive(documents: &Documents, blobs: &Blobs, platform: Option<&Platform>) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    let mut others = Vec::new();
    let listed = documents.parse::<Option<Vec<DockerImage>>>("manifest.json")?;
    for image in listed.ok_or_else(|| Error::Manifest("manifest cannot be null (but can be [])".into()))? {
        let config_path = clean_text(image.config.as_bytes())?;
        let config = documents.raw(blobs.follow(&config_path))?;
        if let Some(expected) = digest_in_path(&config_path) {
            let found = Digest::of(config);
            if found != expected {
                return Err(Error::Mismatch { what: "image config", expected, found });
            }
        }
        let has = parse_config(config)?.platform();
        if platform.is_some_and(|wanted| !has.satisfies(wanted)) {
            others.push(has.to_string());
            continue;
        }
        let names = image.repo_tags.unwrap_or_default();
        let names = names.iter().map(|name| Ok(Reference::parse(name)?.or_latest())).collect::<Result<_>>()?;
        let layers = image.layers.unwrap_or_default();
        let layers = layers.iter().map(|path| {
            let path = clean_text(path.as_bytes())?;
            Ok(LayerPlan { digest: digest_in_path(&path), path })
        });
        plans.push(Plan { config: config.to_vec(), names, layers: layers.collect::<Result<_>>()?, manifest: None });
    }
    match platform {
        Some(wanted) if plans.is_empty() && !others.is_empty() => {
            Err(Error::Platform { wanted: wanted.to_string(), found: others.join(", ") })
        }
        _ => Ok(plans),
    }
}

fn oci_layout(documents: &Documents, platform: Option<&Platform>) -> Result<Vec<Plan>> {
    let index: Document = documents.parse("index.json")?;
    let mut budget = DESCRIPTORS;
    let mut plans = Vec::new();
    let mut absent = None;
    for descriptor in index.manifests.unwrap_or_default() {
        match choose(documents, &descriptor, platform, DEPTH, &mut budget)? {
            Choice::Image(manifest) => plans.push(from_manifest(documents, &manifest, image_name(&descriptor)?)?),
            Choice::NoneFits(error) => absent = Some(error),
            Choice::NoImage => {}
        }
    }
    match absent {
        Some(error) if plans.is_empty() => Err(error),
        None if plans.is_empty() => Err(Error::Archive("it holds no images".into())),
        _ => Ok(plans),
    }
}

enum Choice {
    Image(Descriptor),
    /// An index without an image for the platform.
    NoneFits(Error),
    /// Attestations and other artifacts.
    NoImage,
}

/// The manifest of the wanted platform (else the native one, else the only one) below a descriptor.
fn choose(
    documents: &Documents,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
    depth: usize,
    budget: &mut usize,
) -> Result<Choice> {
    *budget = budget.checked_sub(1).ok_or_else(|| Error::Limit("too many descriptors in indexes".into()))?;
    if descriptor.is_artifact() {
        return Ok(Choice::NoImage);
    }
    if !is_index(documents, descriptor)? {
        let found = platform_of(documents, descriptor)?;
        return Ok(match (platform, found) {
            (_, None) => Choice::NoImage,
            (Some(wanted), Some(found)) if !found.satisfies(wanted) => {
                Choice::NoneFits(Error::Platform { wanted: wanted.to_string(), found: found.to_string() })
            }
            _ => Choice::Image(descriptor.clone()),
        });
    }
    let depth = depth.checked_sub(1).ok_or_else(|| Error::Limit("indexes are nested too deeply".into()))?;
    let (mut fitting, mut others) = (Vec::new(), Vec::new());
    let native = Platform::native();
    for inner in documents.blob_document(&descriptor.digest)?.manifests.unwrap_or_default() {
        // A platform that is left out of an archive is no error.
        if !documents.contains(&blob_path(&inner.digest)) {
            continue;
        }
        if let Choice::Image(manifest) = choose(documents, &inner, None, depth, budget)? {
            let Some(found) = platform_of(documents, &manifest)? else { continue };
            if found.satisfies(platform.unwrap_or(&native)) {
                fitting.push(manifest);
            } else {
                others.push((found, manifest));
            }
        }
    }
    if let Some(manifest) = fitting.into_iter().next() {
        return Ok(Choice::Image(manifest));
    }
    let names: Vec<String> = others.iter().map(|(platform, _)| platform.to_string()).collect();
    match (platform, others.pop()) {
        (_, None) => Ok(Choice::NoImage),
        // Why: an archive of one foreign platform was made on purpose; it loads with a warning.
        (None, Some((_, manifest))) if others.is_empty() => Ok(Choice::Image(manifest)),
        (wanted, Some(_)) => Ok(Choice::NoneFits(Error::Platform {
            wanted: wanted.unwrap_or(&native).to_string(),
            found: names.join(", "),
        })),
    }
}

fn is_index(documents: &Documents, descriptor: &Descriptor) -> Result<bool> {
    match descriptor.media_type.as_str() {
        MEDIA_INDEX | MEDIA_DOCKER_INDEX => Ok(true),
        "" => Ok(documents.blob_document(&descriptor.digest)?.manifests.is_some()),
        _ => Ok(false),
    }
}

/// The platform a manifest is for, from its config; None when it is no image.
fn platform_of(documents: &Documents, manifest: &Descriptor) -> Result<Option<Platform>> {
    let Some(config) = documents.blob_document(&manifest.digest)?.config else { return Ok(None) };
    if !config.is_image_config() {
        return Ok(None);
    }
    Ok(Some(parse_config(documents.blob(&config.digest)?)?.platform()))
}

/// The name an index gives to one of its images.
fn image_name(descriptor: &Descriptor) -> Result<Option<Reference>> {
    if let Some(name) = descriptor.annotations.get(IMAGE_NAME) {
        return Ok(Some(Reference::parse(name)?.or_latest()));
    }
    let name = descriptor.annotations.get(REF_NAME);
    // Why: a bare tag names nothing by itself.
    let whole = name.filter(|name| name.contains(['/', ':']) && !name.contains('@'));
    Ok(whole.map(|name| Reference::parse(name)).transpose()?.map(Reference::or_latest))
}

fn from_manifest(documents: &Documents, descriptor: &Descriptor, name: Option<Reference>) -> Result<Plan> {
    let manifest = documents.blob_document(&descriptor.digest)?;
    let text = std::str::from_utf8(documents.blob(&descriptor.digest)?).ok().map(str::to_owned);
    let media_type = manifest.media_type.clone().unwrap_or_else(|| match descriptor.media_type.as_str() {
        "" => MEDIA_MANIFEST.to_owned(),
        said => said.to_owned(),
    });
    let missing = |what| move || Error::Archive(format!("a manifest has no {what}"));
    let config = manifest.config.ok_or_else(missing("config"))?;
    let layers = manifest.layers.ok_or_else(missing("layers"))?;
    if layers.iter().any(Descriptor::is_foreign) {
        return Err(Error::Unsupported("image: it has foreign layers that are not in the archive".into()));
    }
    let layers = layers.iter().map(|layer| LayerPlan { path: blob_path(&layer.digest), digest: Some(layer.digest) });
    Ok(Plan {
        config: documents.blob(&config.digest)?.to_vec(),
        names: name.into_iter().collect(),
        layers: layers.collect(),
        manifest: text.map(|text| (media_type, text)),
    })
}

/// Checks a plan against the blobs that came, and notes the paths it needs.
fn check(plan: Plan, blobs: &mut Blobs, limit: usize, paths: &mut Vec<String>) -> Result<LoadedImage> {
    let file = parse_config(&plan.config)?;
    let diff_ids = &file.rootfs.diff_ids;
    if plan.layers.len() != diff_ids.len() {
        let (expected, got) = (plan.layers.len(), diff_ids.len());
        return Err(Error::Manifest(format!("layers length mismatch: expected {expected}, got {got}")));
    }
    if diff_ids.len() > limit {
        return Err(Error::Limit(format!("an image has more than {limit} layers")));
    }
    let mut layers = Vec::with_capacity(diff_ids.len());
    for (layer, diff_id) in plan.layers.iter().zip(diff_ids) {
        layers.push(check_layer(layer, diff_id, blobs)?);
        paths.push(blobs.follow(&layer.path).to_owned());
    }
    let native = file.platform().satisfies(&Platform { variant: None, ..Platform::native() });
    let id = Digest::of(&plan.config);
    let config = String::from_utf8(plan.config).map_err(|_| Error::Archive("an image config is not UTF-8".into()))?;
    Ok(LoadedImage { id, config, file, layers, names: plan.names, manifest: plan.manifest, native })
}

fn check_layer(layer: &LayerPlan, diff_id: &Digest, blobs: &mut Blobs) -> Result<LoadedLayer> {
    if let Some(error) =
        matches!(blobs.get(&layer.path), Some(Blob::Broken(_))).then(|| blobs.error(&layer.path)).flatten()
    {
        return Err(error);
    }
    match blobs.get(&layer.path) {
        None | Some(Blob::Broken(_)) => Err(Error::Archive(format!("layer {} is missing", layer.path))),
        Some(Blob::Present { pin, files_bytes }) => {
            same("layer", diff_id, pin.diff_id())?;
            Ok(LoadedLayer { diff_id: *diff_id, files_bytes: *files_bytes, blob: None })
        }
        Some(Blob::Staged(staged)) => {
            if let Some(digest) = &layer.digest {
                same("layer blob", digest, staged.blob())?;
            }
            same("layer", diff_id, staged.diff_id())?;
            let blob = (*staged.blob(), staged.blob_bytes(), staged.compression());
            Ok(LoadedLayer { diff_id: *diff_id, files_bytes: staged.files_bytes, blob: Some(blob) })
        }
    }
}

fn same(what: &'static str, expected: &Digest, found: &Digest) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Mismatch { what, expected: *expected, found: *found }) }
}

fn parse_config(bytes: &[u8]) -> Result<ImageFile> {
    ImageFile::parse(bytes).map_err(|source| Error::Json { what: "an image config".into(), source })
}
